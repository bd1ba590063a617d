# SPDX-License-Identifier: LGPL-2.1-or-later
"""Bugs that somebody could make, and the test programs that have to notice: a suite that lets one of them pass has a hole.

Each is one replacement in one file. The text has to occur exactly once, so that a change of the source asks for a new look here."""

from dataclasses import dataclass


@dataclass
class Mutant:
    name: str
    file: str
    old: str
    new: str
    killers: str  # test programs, of which one has to fail


MUTANTS = [
    # ---- keys looked up before ----
    Mutant('end-of-a-version-is-not-looked-for', 'src/lookup.cpp',
           ' &&\n           reader.key_segment->map.successor_at(recent.place) == 0', '', 'recent'),
    Mutant('found-again-in-a-segment-that-is-over', 'src/lookup.cpp',
           'reader.key_segment->generation == current_generation(observe_current(reader.area.control->current)) &&\n', '', 'recent'),
    Mutant('found-again-in-the-segment-before', 'src/lookup.cpp', 'return recent.entry == reader.key_entry &&', 'return', 'recent'),
    Mutant('remembered-version-does-not-expire', 'src/lookup.cpp',
           'return is_expired(reader, recent.view.expires_ns) ? 0 :', 'return', 'recent'),
    Mutant('remembered-view-has-the-serial-of-the-one-before', 'src/lookup.cpp',
           'ret_chunk->opaque[1] = pack_serial(ViewKind::key, reader.key_serial);', '', 'recent'),
    Mutant('sizes-of-short-keys-are-not-compared', 'src/recent.hpp', 'size == other_size && ', '', 'recent'),
    Mutant('middle-of-a-short-key-is-not-compared', 'src/recent.hpp', 'byte(0) | byte(size / 2)', 'byte(0)', 'recent'),
    Mutant('third-lane-of-keys-is-not-compared', 'src/recent.hpp', ' | (a.lane[2] ^ b.lane[2])', '', 'recent'),

    # ---- frames that have a deadline and nothing else ----
    Mutant('deadline-of-a-plain-frame-is-not-read', 'src/frame.hpp',
           'frame.expires = source.template field_at<uint64_t>(source.position(place), shape.expiry);', 'frame.expires = 0;', 'expiry'),
    Mutant('timed-frame-may-reach-beyond-the-readable-places', 'src/frame.hpp',
           'return frame.length <= source.readable - frame.place && frame.id != 0;', 'return frame.id != 0;', 'frame damage'),
    Mutant('timed-frame-needs-no-id', 'src/frame.hpp',
           'return frame.length <= source.readable - frame.place && frame.id != 0;',
           'return frame.length <= source.readable - frame.place;', 'frame damage check_damage'),

    # ---- forks in the middle of a call ----
    Mutant('mapping-is-given-back-before-it-is-forgotten', 'src/pins.cpp',
           'Attachment *old = cached;\n', 'Attachment *old = nullptr;\n        if (cached) { uncache(cached); }\n', 'fork'),
    Mutant('records-are-given-back-before-they-are-forgotten', 'src/writer.cpp',
           'Pending *old = std::exchange(writer.pending, records);\n',
           'Pending *old = nullptr;\n    if (writer.pending) { os::operations.release(writer.pending); }\n    writer.pending = records;\n', 'fork'),
    Mutant('copy-is-given-back-before-it-is-forgotten', 'src/chunk_copy.cpp',
           'ChunkCopy *old = std::exchange(copy, to);\n',
           'ChunkCopy *old = nullptr;\n    if (copy && copy != to) { chunk_copy_release(copy); }\n    copy = to;\n', 'fork_untrusted'),

    # ---- what is rare ----
    Mutant('place-that-leaps-is-believed', 'src/copier.cpp', 'fail(-EAGAIN);\n    return 0;', 'return before;', 'copier'),
    Mutant('word-of-the-window-that-never-stays-is-0', 'src/copier.hpp',
           'fill(fd, offset, limit);\n        }\n        fail(-EAGAIN);', 'fill(fd, offset, limit);\n        }', 'copier'),
    Mutant('spin-that-paid-is-not-noted', 'src/wait.cpp', 'reader.waiting.spin.paid();', '', 'wait'),
    Mutant('copy-that-failed-is-gone-on-with', 'src/compact.cpp',
           'copy_abandon(writer);\n            writer.share_place', 'writer.share_place', 'compact_ahead'),
    Mutant('successor-of-what-is-no-chunk-is-sound', 'src/check_segment.cpp',
           'frame.is_control() && successor != 0', 'frame.is_control() && false', 'check'),
    Mutant('remembered-keys-are-not-given-back', 'src/reader.cpp',
           'if (reader->recent_keys) { os::operations.release(reader->recent_keys); }', '', 'faults'),

    # ---- publication ----
    Mutant('no-zero-word-behind-the-commit', 'src/commit.cpp',
           'put(writer.current->map.frame(writer.tail).commit, 0u);', '', 'commit takeover compact'),
    Mutant('first-word-of-a-batch-is-not-the-last', 'src/commit.cpp',
           'if (place != first) { put(map.frame(place).commit, word); }', 'put(map.frame(place).commit, word);', 'death snapshots'),
    Mutant('chunk-moved-by-a-compaction-keeps-its-old-bytes', 'src/commit.cpp',
           'if (writer.pending[i].has_frame()) { bring_over(writer.current->map, writer.pending[i]); }', '(void)bring_over;',
           'compact_middle'),
    Mutant('superseded-chunk-is-not-marked', 'src/commit.cpp',
           'store_successor(map.frame(place).successor, successor);', '(void)successor;', 'commit'),
    Mutant('dead-places-are-not-counted', 'src/commit.cpp',
           'writer.dead += frame.length;\n    writer.lasting', 'writer.lasting', 'compact'),
    Mutant('obsolete-of-the-same-commit-hides-nothing', 'src/commit.cpp',
           'if (writer.pending[i].kind == PendingKind::obsolete)', 'if (writer.pending[i].kind == PendingKind::marker)', 'commit'),

    # ---- what waits for the commit ----
    Mutant('superseding-what-is-dead-is-allowed', 'src/writer.cpp',
           'return load_successor(map.frame(frame.place).successor) == 0 ? 0 : -ENOENT;', 'return 0;', 'writer commit'),
    Mutant('removal-of-a-removed-key-is-allowed', 'src/writer.cpp',
           'return is_removed || load_successor(map.frame(place).successor) != 0 ? -ENOENT : 0;', 'return is_removed ? 0 : 0;',
           'writer commit'),
    Mutant('shrink-may-grow', 'src/writer.cpp', 'if (size > pending.size) { return -EINVAL; }', '', 'writer'),
    Mutant('shrink-leaves-a-gap', 'src/writer.cpp',
           'pending.pad_after += uint32_t(pending.length - length);', '', 'writer commit'),
    Mutant('alignment-is-forgotten', 'src/writer.cpp',
           'pending.pad_before = padding_before(writer.tail, request.payload_offset, pending.alignment);', 'pending.pad_before = 0;',
           'writer'),
    Mutant('rollback-keeps-the-ids', 'src/writer.cpp',
           'writer.next_id = writer.first_id;', '', 'writer'),
    Mutant('last-id-is-one-too-many', 'src/writer.cpp',
           'int writer_alloc(Writer &writer, uint64_t size, const speculo_chunk_options &options, void **ret_data, uint64_t *ret_id) {\n'
           '    if (writer.next_id > max_id)',
           'int writer_alloc(Writer &writer, uint64_t size, const speculo_chunk_options &options, void **ret_data, uint64_t *ret_id) {\n'
           '    if (writer.next_id > max_id + 1)', 'end writer'),
    Mutant('fast-path-ignores-the-end-of-the-segment', 'src/writer.cpp',
           'writer.tail + length <= writer.easy_end &&', 'writer.tail + length <= writer.easy_end + 64 &&',
           'writer compact room reserve'),

    # ---- compaction ----
    Mutant('compaction-carries-the-dead', 'src/compact_copy.cpp',
           'if (!frame.is_chunk() || load_successor(writer.current->map.frame(frame.place).successor) != 0) { return false; }',
           'if (!frame.is_chunk()) { return false; }', 'compact'),
    Mutant('compaction-drops-what-the-commit-supersedes', 'src/compact_copy.cpp',
           'return !is_over || (writer.copy.is_whole && is_awaited(writer, frame.id));', 'return !is_over;', 'compact_middle'),
    Mutant('no-end-in-the-old-segment', 'src/compact.cpp',
           'publish_end(old.map, writer.committed, copy.segment->generation, copy.segment->slot, copy.segment->incarnation);', '',
           'chain cursor compact'),
    Mutant('segment-is-shared-with-readers-inside', 'src/segment.cpp',
           'if (error < 0) { return error; }\n    segment_invalidate(segment);', '(void)error;\n    segment_invalidate(segment);',
           'hold segment pins'),
    Mutant('lossless-does-not-wait-for-cursors', 'src/compact_choice.cpp',
           'if (int error = segment_shut_out_cursors(*old); error < 0) { return error; }', 'segment_shut_out_cursors(*old);',
           'lossless compact_choice chain wait'),
    Mutant('segment-never-halves', 'src/compact_choice.cpp',
           'if (is_quiet && writer.quiet_generations + 1 >= quiet_before_halving)', 'if (false)', 'compact'),

    # ---- compaction ahead ----
    Mutant('copy-of-what-ended-lives', 'src/compact_copy.cpp', 'store_successor(copy.segment->map.frame(place).successor, place);', '',
           'compact_ahead'),
    Mutant('copy-of-a-key-stays-its-version', 'src/compact_copy.cpp', 'publish_versions(search.slot->versions, pack_versions(place, 0));', '',
           'compact_ahead'),
    Mutant('key-table-of-the-copy-is-not-emptied', 'src/compact_copy.cpp', 'put(table[i].frame, 0u);', '(void)table;', 'compact_ahead compact'),
    Mutant('what-was-passed-over-is-not-missed', 'src/compact.cpp',
           '|| copy_misses_something(writer, request.supersedes)', '', 'compact_ahead'),
    Mutant('everything-is-copied-in-one-call', 'src/compact.cpp', 'copy_on(writer, (end - copy.paced) * copy.pace)',
           'copy_on(writer, everything)', 'compact_ahead'),
    Mutant('nothing-is-copied-ahead', 'src/compact.cpp', 'writer.copy.pace = 2 + 3', 'writer.copy.pace = 0 * 3', 'compact_ahead'),
    Mutant('growth-is-not-foreseen', 'src/compact.cpp', 'survey.end += (now - before) * left', 'survey.end += 0 * left', 'compact compact_ahead'),
    Mutant('what-lasts-is-looked-for-too-late', 'src/compact.hpp', 'if (end == 0) { begin = place; }', 'begin = place;', 'compact compact_ahead'),
    Mutant('next-segment-is-begun-in-an-area-that-was-removed', 'src/compact.cpp',
           'if (work < least_work || control_is_stale(writer.area)) { return; }', 'if (work < least_work) { return; }', 'compact_ahead'),

    # ---- takeover ----
    Mutant('successors-of-a-dead-batch-stay', 'src/takeover.cpp',
           'store_successor(map.frame(frame.place).successor, 0);', '', 'takeover death'),
    Mutant('keys-of-a-dead-batch-stay', 'src/takeover.cpp',
           'publish_versions(slot.versions, pack_versions(previous, previous));', '', 'takeover death'),
    Mutant('switch-is-not-finished', 'src/takeover.cpp',
           'if (segment->generation + 1 == current && segment->generation != 0) { finish_switch(writer, *segment); }', '',
           'takeover death'),
    Mutant('ids-of-the-dropped-are-given-again', 'src/takeover.cpp',
           'writer.next_id = writer.first_id = next_id > last_id ? next_id : last_id + 1;',
           'writer.next_id = writer.first_id = last_id + 1;', 'takeover'),
    Mutant('leftovers-stay', 'src/takeover.cpp',
           'if (is_ours && os::operations.unlink(area.place.directory, name) == 0) { leftovers.found = true; }', '(void)is_ours;',
           'takeover death'),

    # ---- readers ----
    Mutant('skipped-counts-from-what-was-passed', 'src/cursor.cpp',
           'ret_chunk->skipped = frame.id - cursor.delivered - 1;', 'ret_chunk->skipped = frame.id - cursor.passed - 1;',
           'cursor chain expiry'),
    Mutant('jump-is-not-told', 'src/cursor.cpp', 'ret_chunk->flags |= SPECULO_CHUNK_JUMPED;', '', 'chain cursor'),
    Mutant('chain-may-lead-back', 'src/cursor.cpp',
           'if (current_generation(end.id) <= reader.cursor.segment->generation) { return -EBADMSG; }', '', 'cursor chain damage'),
    Mutant('superseding-that-died-hides', 'src/cursor.cpp',
           'return successor != 0 && successor < cursor.end;', 'return successor != 0;', 'cursor races'),
    Mutant('view-ends-with-the-segment', 'src/cursor.cpp',
           'reader.cursor.view = segment;\n    } else {\n        attachment_unpin(segment);\n    }',
           'reader.cursor.view = nullptr;\n    }\n    attachment_unpin(segment);', 'wait hold'),
    Mutant('expired-is-shown-a-tick-longer', 'src/clock.cpp',
           'uint64_t latest = clock_now(clock) + clock.tick;', 'uint64_t latest = clock_now(clock) + 2 * clock.tick;', 'clock expiry'),
    Mutant('snapshot-sees-later-commits', 'src/snapshot.cpp',
           'bool is_superseded = successor != 0 && successor < snapshot.end;', 'bool is_superseded = successor != 0;', 'snapshot'),
    Mutant('hold-pins-nothing', 'src/hold.cpp', 'attachment_pin_again(*segment);', '', 'hold'),
    Mutant('key-is-compared-by-its-size', 'src/keytable.cpp',
           ' && equal_bytes(bytes, key.bytes, size);', ';', 'keytable'),

    # ---- what is not believed ----
    Mutant('frame-may-reach-beyond-the-object', 'src/frame.cpp',
           'if (frame.size > available - shape.payload) { return false; }', '', 'frame damage'),
    Mutant('bare-frame-may-reach-beyond-the-object', 'src/frame.hpp',
           'return frame.length <= source.readable - place && frame.id != 0;', 'return frame.id != 0;', 'frame damage'),
    Mutant('objects-of-others-are-believed', 'src/control.cpp',
           'if (!is_own && !trust.anyone && !(trust.has_other && status.uid == trust.other)) { return -EPERM; }', '(void)is_own;',
           'control planted owners'),
    Mutant('objects-that-others-may-write-are-believed', 'src/control.cpp',
           'if (status.links > 1 || (status.mode & foreign_write_bits) != 0) { return -EPERM; }', '', 'control planted owners'),
    Mutant('segment-of-another-area-is-believed', 'src/segment.cpp',
           'if (!is_of_area) { return {-EBADMSG, "offset 16: it is of another area"}; }', '(void)is_of_area;', 'segment damage planted'),

    Mutant('message-reads-beyond-its-values', 'src/text.cpp', " && values != end", '', 'text'),
    Mutant('message-loses-its-end', 'src/text.hpp', 'size_ + 1 < sizeof bytes_', 'size_ < sizeof bytes_', 'text'),

    # ---- waiting ----
    Mutant('wake-up-is-not-passed-on', 'src/wait.cpp',
           'if (error == 0) { os::operations.wake(address_of(*bell.word), wake_at_once); }', '', 'wait'),
    Mutant('slices-are-a-hundred-times-as-long', 'src/wait.cpp', 'slice_ns = 250000000;', 'slice_ns = 25000000000;', 'sleepers wait'),
    Mutant('sleeper-looks-a-hundred-times-as-often', 'src/wait.cpp',
           'deadline.left(is_heard || is_silent ? slice_ns : unheard_slice_ns)', 'deadline.left(unheard_slice_ns)', 'sleepers wait'),
    Mutant('descriptor-is-alarmed-a-hundred-times-as-often', 'src/wait.cpp',
           'if (is_heard) { return slice_ns; }', 'if (is_heard) { return unheard_slice_ns; }', 'sleepers wait'),
    Mutant('no-look-between-flag-and-sleep', 'src/wait.cpp',
           '&& pay_for_writer(reader);\n    }\n    if (int found = look(reader); found != 0) { return found; }',
           '&& pay_for_writer(reader);\n    }', 'wait'),
    Mutant('end-is-told-before-the-last-chunks', 'src/wait.cpp',
           'if (int found = look(reader); found != 0) { return found; } // committed before it went', '', 'wait'),
    Mutant('end-is-told-for-ever', 'src/wait.cpp',
           'if (end == -EPIPE) { reader.waiting.told_writers = writers; }', '', 'wait'),
    Mutant('descriptor-stays-readable', 'src/wait.cpp',
           'if (reader.waiting.has_watch) { os::operations.watch_drain(&reader.waiting.watch); }', '', 'wait'),
    Mutant('ring-keeps-the-flag', 'src/bell.cpp',
           'if (is_flag_set(page.sleepers)) {\n        clear_flag(page.sleepers);', 'if (is_flag_set(page.sleepers)) {', 'bell sleepers'),
    Mutant('takeover-does-not-ring', 'src/open.cpp',
           'ring_all(writer.area, writer.ringer); // the one before', '// the one before', 'wait'),
    Mutant('reader-that-leaves-tells-nobody', 'src/cursor.cpp',
           'attachment_leave(*segment);\n    tell_writer_of_room(reader);', 'attachment_leave(*segment);', 'wait'),

    # ---- readers that trust nobody ----
    Mutant('half-a-copy-is-taken-for-all', 'src/os.cpp',
           'if (count <= 0) { return count < 0 ? count : -ENODATA; }', 'if (count <= 0) { return count; }', 'os copies'),
    Mutant('error-of-a-copy-is-forgotten', 'src/copier.hpp',
           'int finish(int result) const { return error_ != 0 ? error_ : result; }', 'int finish(int result) const { return result; }',
           'copies faults_untrusted'),
    Mutant('word-counts-though-two-copies-differ', 'src/copier.hpp', 'if (word == before) { return word; }', 'return word;', 'copies'),
    Mutant('growing-word-counts-though-torn', 'src/copier.cpp',
           'if (all_but_lowest(before) == all_but_lowest(after)) { return now; }', 'return now;', 'copies'),
    Mutant('what-was-copied-before-the-end-is-judged-by-it', 'src/copier.cpp',
           'if (fd == fd_ && place <= known_) { return; }\n    forget();', 'if (fd == fd_ && place <= known_) { return; }', 'copies'),
    Mutant('frame-is-taken-from-the-first-copy', 'src/copier.hpp',
           'const std::byte *second = bytes(fd, offset, sizeof(T), limit);',
           'const std::byte *second = bytes(fd, offset, sizeof(T), limit);\n            copy_bytes(second_, first_, sizeof second_);', 'copies'),
    Mutant('version-before-is-copied-first', 'src/segment_file.hpp',
           'uint32_t newest = copier_.load_growing(fd_, low);\n        return newest < end ? newest : copier_.load_growing(fd_, high);',
           'uint32_t before = copier_.load_growing(fd_, high), newest = copier_.load_growing(fd_, low);\n'
           '        return newest < end ? newest : before;', 'copies'),
    Mutant('end-is-found-though-nothing-could-be-read', 'src/frame.cpp',
           'if (int error = source.error(); error < 0) { return error; } // the zero word was none', '', 'copies faults_untrusted'),
    Mutant('chunk-of-any-size-is-copied', 'src/chunk_copy.cpp', 'frame.size > file.largest() ||', '', 'copies'),
    Mutant('copy-that-is-held-is-used-again', 'src/chunk_copy.cpp', 'copy->users.is_one() && ', '', 'copies'),
    Mutant('call-copies-without-an-end', 'src/copier.cpp', 'if (reads_left_ == 0) { fail(-EAGAIN); }', '', 'copies'),
    Mutant('copied-header-is-not-checked', 'src/pins.cpp',
           'error = segment_validate(area, header, status.size, attachment.slot, entry, map.geometry);\n    if (error < 0) { return error; }\n'
           '    map.readable', 'segment_validate(area, header, status.size, attachment.slot, entry, map.geometry);\n    map.readable',
           'damage_untrusted planted_untrusted chain_untrusted'),
    Mutant('flag-is-written-though-it-is-set', 'src/wait.cpp', 'return load(reader, flag) != 0 || os::', 'return os::',
           'wait_untrusted'),
    Mutant('draining-comes-before-the-asking', 'src/wait.cpp',
           'bool is_heard = ask_to_be_told(reader);\n'
           '        if (reader.waiting.has_watch) { os::operations.watch_drain(&reader.waiting.watch); }\n',
           'if (reader.waiting.has_watch) { os::operations.watch_drain(&reader.waiting.watch); }\n'
           '        bool is_heard = ask_to_be_told(reader);\n', 'wait_untrusted'),

    # ---- the system ----
    Mutant('segments-stay-mapped', 'src/pins.cpp',
           'if (attachment->map.base) { os::operations.unmap(attachment->map.base, size_t(attachment->map.geometry.size)); }\n'
           '    lock', 'lock', 'soak'),
    Mutant('segments-stay-open', 'src/pins.cpp',
           'lock_descriptor_close(attachment->lock);\n    os::operations.release(attachment);', '', 'soak'),
    Mutant('discarded-segments-keep-their-name', 'src/compact_choice.cpp',
           'os::operations.unlink(writer.area.place.directory, segment_name(writer.area.place, segment->slot, segment->nonce).text);',
           '(void)writer;', 'soak'),
    Mutant('memory-is-touched-before-it-is-there', 'src/segment.cpp',
           'int error = os::operations.allocate_space(segment.file.fd, from, to - from);', '(void)segment, (void)from, (void)to;\n    int error = 0;',
           'exhaustion'),
    Mutant('segments-are-never-used-again', 'src/segment.cpp',
           'if (!os::has_range_locks) { return -EAGAIN; }', 'if (segment.generation) { return -EAGAIN; }', 'steady'),
    Mutant('removal-leaves-the-lock', 'src/open.cpp',
           'if (error == 0) { error = os::operations.unlink(place.directory, lock_name(place).text); }\n', '', 'open planted'),
    Mutant('child-uses-its-parents-handle', 'src/fork.cpp', 'forks.add();', '', 'fork'),

    # ---- an order that only a death in between shows ----
    Mutant('hint-is-ahead-of-the-commit', 'src/commit.cpp',
           'publish_commit(map.frame(first).commit, word);\n    publish_hint(map.header().hint, writer.tail);',
           'publish_hint(map.header().hint, writer.tail);\n    publish_commit(map.frame(first).commit, word);', 'step'),
    Mutant('superseding-comes-after-the-commit', 'src/commit.cpp',
           'store_words(writer);\n    uint32_t first = first_of(writer);\n    publish(writer, first, commit_frames(writer, first));',
           'uint32_t first = first_of(writer);\n    publish(writer, first, commit_frames(writer, first));\n    store_words(writer);', 'step'),
    Mutant('previous-version-is-of-the-same-commit', 'src/commit.cpp',
           'before < first_of(writer) ? before : previous_version(versions);', 'before;', 'step'),
    Mutant('end-comes-before-current', 'src/compact.cpp',
           'publish_segment(writer, copy, old.generation + 1);\n'
           '    publish_end(old.map, writer.committed, copy.segment->generation, copy.segment->slot, copy.segment->incarnation);',
           'publish_end(old.map, writer.committed, old.generation + 1, copy.segment->slot, copy.segment->incarnation);\n'
           '    publish_segment(writer, copy, old.generation + 1);', 'step'),
    Mutant('current-comes-before-the-generation', 'src/compact.cpp',
           'publish_generation(map.header().generation, generation);\n'
           '    publish_current(writer.area.control->current, pack_current(generation, copy.segment->slot));',
           'publish_current(writer.area.control->current, pack_current(generation, copy.segment->slot));\n'
           '    publish_generation(map.header().generation, generation);', 'step'),
    Mutant('ids-of-pending-chunks-are-spent-by-a-compaction', 'src/compact.cpp',
           'put(map.header().next_id, writer.first_id);', 'put(map.header().next_id, writer.next_id);', 'step'),
    Mutant('first-segment-is-current-before-it-is-complete', 'src/takeover.cpp',
           'put(header.next_id, next_id);\n    publish_generation(header.generation, generation);\n'
           '    publish_current(control.current, pack_current(generation, slot));',
           'publish_current(control.current, pack_current(generation, slot));\n    put(header.next_id, next_id);\n'
           '    publish_generation(header.generation, generation);', 'step'),
    Mutant('slots-of-a-dead-batch-stay', 'src/takeover.cpp',
           'put(slot.frame, 0u);\n            continue;', 'continue;', 'step'),
    Mutant('segment-of-a-dead-switch-keeps-its-generation', 'src/takeover.cpp',
           'if (segment->generation > current) { segment_invalidate(*segment); }', '', 'step'),
    Mutant('segment-is-overwritten-under-its-old-generation', 'src/segment.cpp',
           'if (error < 0) { return error; }\n    segment_invalidate(segment);', 'if (error < 0) { return error; }', 'step'),
    Mutant('deadlines-of-another-boot-end-after-it-is-over', 'src/open.cpp',
           'if (error == 0 && boot == Boot::clean) { error = end_deadlines(writer); }\n'
           '    if (error == 0 && boot != Boot::same) { error = control_end_recovery(area); }',
           'if (error == 0 && boot != Boot::same) { error = control_end_recovery(area); }\n'
           '    if (error == 0 && boot == Boot::clean) { error = end_deadlines(writer); }', 'step'),
    Mutant('zeros-of-a-window-stay-when-the-object-grows', 'src/copier.cpp',
           'end_ = offset + size; //', 'end_ = offset + (size < most_at_once ? most_at_once : size); //', 'copies'),
    Mutant('late-ring-is-drained-unheard', 'src/wait.cpp',
           'if (!is_heard || load(reader, {&bell.page->watchers, bell.fd, offsetof(BellPage, watchers)}) != 0) { return is_heard; }',
           'if (bell.fd != -2) { return is_heard; }', 'wait'),
    Mutant('fields-are-read-before-the-size', 'src/abi.cpp', 'if (options.struct_size != sizeof options) { return false; }', '',
           'abi_options'),
    Mutant('aligned-chunks-are-counted-as-plain-ones', 'src/writer.cpp',
           'writer.has_words |= pending.alignment > place_size || ', 'writer.has_words |= pending.pad_before != 0 || ', 'compact'),
]
