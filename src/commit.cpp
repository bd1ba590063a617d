// SPDX-License-Identifier: LGPL-2.1-or-later
// Publication: everything that waits becomes visible by one store.
#include "ahead.hpp"
#include "plain.hpp"

namespace speculo::core {

namespace {

// The frame lies in a segment that was left meanwhile: copies fields and payload to its second place.
void bring_over(const SegmentMap &map, const Pending &pending) {
    std::byte *there = map.bytes(pending.place);
    if (pending.bytes == there) { return; }
    FrameShape shape = frame_shape(field_flags(pending.flags), pending.key_size, pending.has_long_size);
    copy_bytes(there + sizeof(FrameHeader), pending.bytes + sizeof(FrameHeader),
               shape.payload - sizeof(FrameHeader) + size_t(pending.size));
    put(map.frame(pending.place).successor, 0u);
    put(map.frame(pending.place).id_flags, pack_id(pending.id, pending.flags));
}

uint32_t pending_word(const Pending &pending) { return pending.has_long_size ? size_follows : commit_word(pending.size); }

// The place of an id in the current segment, committed or pending; 0 if it is not stored.
uint32_t place_of(const Writer &writer, uint64_t id) {
    if (id >= writer.first_id) {
        for (size_t i = writer.pending_count; i-- > 0;) {
            const Pending &pending = writer.pending[i];
            if (pending.has_frame() && pending.id == id) { return pending.place; }
        }
        return 0; // GCOVR_EXCL_LINE: alloc and obsolete have seen to it that it is there
    }
    Frame frame;
    int found = index_find(writer.current->map, writer.committed, id, frame);
    return found == 1 && frame.id == id ? frame.place : 0;
}

// A committed chunk is superseded: there is less to carry over, and a copy that was made already is dead.
inline void count_out(Writer &writer, uint32_t place, uint64_t length, uint32_t alignment, uint32_t flags) {
    if (length > writer.committed - place) { return; } // damaged: it is not to spoil what is counted
    writer.dead += length;
    if (!(flags & frame_removed)) { index_count_dead(writer.current->map, place, length, writer.committed); }
    writer.lasting.take(length, alignment, flags);
    if (writer.copy.segment) { copy_supersede(writer, place); }
}

[[gnu::noinline]] void count_out_odd(Writer &writer, uint32_t place, uint32_t commit) {
    Frame frame;
    if (commit == 0 || !read_frame(writer.current->map, place, commit, frame)) { return; }
    count_out(writer, place, frame.length, frame.alignment, frame.flags);
}

inline void count_out(Writer &writer, uint32_t place) {
    const SegmentMap &map = writer.current->map;
    uint32_t commit = observe_commit(map.frame(place).commit), flags = frame_flags(peek(map.frame(place).id_flags));
    if (!may_be_plain(flags, commit)) { return count_out_odd(writer, place, commit); }
    count_out(writer, place, plain_length(flags, plain_key_size(map, place, flags), commit), 0, flags);
}

// Stores the place of what supersedes a chunk, where nothing does yet. Otherwise returns what does.
uint32_t end_life(Writer &writer, uint32_t place, uint32_t successor) {
    const SegmentMap &map = writer.current->map;
    uint32_t before = load_successor(map.frame(place).successor);
    if (before == 0) {
        store_successor(map.frame(place).successor, successor);
        if (place < writer.committed) { count_out(writer, place); }
    }
    return before;
}

// By id: a chunk that this very commit superseded already passes it on to its superseder; a removal must still be told.
void supersede(Writer &writer, uint32_t place, uint32_t successor) {
    const SegmentMap &map = writer.current->map;
    while (place != 0 && place != successor) {
        if (frame_flags(peek(map.frame(place).id_flags)) & frame_removed) { return; }
        place = end_life(writer, place, successor);
        if (place < writer.committed) { return; } // nothing did, or an earlier commit
    }
}

void obsolete(Writer &writer, const Pending &pending) {
    uint32_t place = place_of(writer, pending.supersedes);
    if (place == 0) { return; } // a compaction dropped it meanwhile
    uint32_t first = writer.committed;
    end_life(writer, place, place < first ? first : place);
}

// Makes the frame the newest version of its key, and the one before superseded. Returns the key's slot.
KeySlot *enter_key(Writer &writer, uint32_t place, uint32_t flags, const Key &key) {
    const SegmentMap &map = writer.current->map;
    prefetch_version(map, key.hash);
    // Pending frames count: a key's later version in a commit finds the earlier one. alloc has seen to it that a slot is free.
    KeySearch search = key_search_inline(map, place, key);
    uint32_t before = 0;
    if (search.found) {
        uint64_t versions = peek(search.slot->versions);
        before = newest_version(versions);
        uint32_t previous = before < writer.committed ? before : previous_version(versions);
        publish_versions(search.slot->versions, pack_versions(place, previous));
        end_life(writer, before, place);
    } else if (search.slot) { // there is one, but for keys that a caller's overrun made up
        key_claim(*search.slot, key.hash, place);
        ++writer.keys;
    }
    put_field(map.bytes(place), frame_shape(flags, 0, false).link, before);
    return search.slot;
}

// The same for a key that is known, in a commit of its own.
void enter_known_key(Writer &writer, uint32_t place, uint32_t length, uint32_t flags, KnownKey &known) {
    const SegmentMap &map = writer.current->map;
    uint32_t before = newest_version(known.versions);
    known.versions = pack_versions(place, before);
    publish_versions(known.slot->versions, known.versions);
    store_successor(map.frame(before).successor, place);
    count_out(writer, before, known.length, 0, known.flags);
    put_field(map.bytes(place), shapes_to_key.of[flags & frame_field_flags].link, before);
    known.length = length;
    known.flags = flags;
}

// A key that was entered in a commit of its own is known from now on. Without memory none is.
void know_key(Writer &writer, uint32_t length, uint32_t flags, const Key &key, KeySlot *slot) {
    if (!slot || !KeyLanes::can_hold(key.size)) { return; }
    if (!writer.known_keys) { writer.known_keys = static_cast<KnownKeys *>(os::operations.allocate(sizeof(KnownKeys))); }
    if (!writer.known_keys) { return; }
    KeyLanes lanes = KeyLanes::of(key.bytes, key.size);
    writer.known_keys->at(lanes) = {lanes, key.size, writer.key_epoch, slot, peek(slot->versions), key.hash, length, flags};
}

// Key slots and successor words. Obsoleting comes last: it only ends what has no successor in this commit.
void store_words(Writer &writer) {
    for (size_t i = 0; i < writer.pending_count; ++i) {
        const Pending &pending = writer.pending[i];
        if (pending.kind == PendingKind::obsolete) { continue; }
        if (field_flags(pending.flags) & frame_key) { enter_key(writer, pending.place, pending.flags, key_of(pending)); }
        if (pending.supersedes != 0) { supersede(writer, place_of(writer, pending.supersedes), pending.place); }
    }
    for (size_t i = 0; i < writer.pending_count; ++i) {
        if (writer.pending[i].kind == PendingKind::obsolete) { obsolete(writer, writer.pending[i]); }
    }
}

// A frame is part of the commit: its index entry, and whether it is to be carried over. Its successor is stored.
inline void count_in(Writer &writer, uint32_t place, uint64_t length, uint32_t alignment, uint32_t flags) {
    const SegmentMap &map = writer.current->map;
    index_note(map, writer.index, place, length);
    bool is_superseded = load_successor(map.frame(place).successor) != 0; // by this very commit
    if (is_superseded) {
        writer.dead += length;
    } else {
        writer.lasting.add(place, length, alignment, flags);
    }
    if (is_superseded || !is_chunk(flags)) { index_count_dead(map, place, length, writer.committed); }
}

// The commit's first frame gets its word last of all.
void store_word(Writer &writer, uint32_t place, uint32_t word, uint32_t &first_word) {
    if (place == writer.committed) {
        first_word = word;
    } else {
        put(writer.current->map.frame(place).commit, word);
    }
}

void commit_padding(Writer &writer, uint32_t place, uint32_t places, uint32_t &first_word) {
    if (places == 0) { return; }
    const SegmentMap &map = writer.current->map;
    store_word(writer, place, lay_padding(map, place, places), first_word);
    index_note(map, writer.index, place, places);
    index_count_dead(map, place, places, writer.committed);
}

// Apart from the short way, so that this does without its registers.
[[gnu::noinline]] int ring_for(Writer &writer) {
    ring(writer.area, writer.ringer);
    return 0;
}

inline int publish(Writer &writer, const SegmentMap &map, uint32_t first, uint32_t end, uint32_t word) {
    writer.committed = end;
    writer.first_id = writer.next_id;
    publish_commit(map.frame(first).commit, word);
    publish_hint(map.header().hint, end);
    return is_ring_due(writer.ringer) ? ring_for(writer) : 0;
}

[[gnu::noinline]] int commit_records(Writer &writer) {
    for (size_t i = 0; i < writer.pending_count; ++i) {
        if (writer.pending[i].has_frame()) { bring_over(writer.current->map, writer.pending[i]); }
    }
    store_words(writer);
    uint32_t first_word = 0;
    for (size_t i = 0; i < writer.pending_count; ++i) {
        const Pending &pending = writer.pending[i];
        if (!pending.has_frame()) { continue; }
        commit_padding(writer, pending.begin(), pending.pad_before, first_word);
        store_word(writer, pending.place, pending_word(pending), first_word);
        count_in(writer, pending.place, pending.length, pending.alignment, pending.flags);
        commit_padding(writer, uint32_t(pending.place + pending.length), pending.pad_after, first_word);
    }
    publish(writer, writer.current->map, writer.committed, writer.tail, first_word);
    ++writer.key_epoch;
    pending_clear(writer);
    open_short_ways(writer);
    return 0;
}

// Counts the frames in when all keys are entered: a later one may have superseded an earlier one. All but the first have their words.
void count_in_all(Writer &writer, uint32_t first_word) {
    const SegmentMap &map = writer.current->map;
    uint32_t word = first_word;
    for (uint32_t place = writer.committed; place < writer.tail; word = peek(map.frame(place).commit)) {
        PlainFrame frame = plain_frame(map, place, word);
        if (frame.length > writer.tail - place) { return; } // a caller still writes where it must not
        count_in(writer, place, frame.length, 0, frame.flags);
        place = frame.end();
    }
}

// A frame's word goes to where it belongs before its key is looked at: a later one may supersede it, in the word where it waited.
[[gnu::noinline]] int commit_plain(Writer &writer) {
    const SegmentMap map = writer.current->map; // a copy, as in writer_commit
    uint32_t first_word = 0;
    bool may_end_each_other = writer.pending_keys > 1;
    uint64_t id = writer.first_id;
    for (uint32_t place = writer.committed; place < writer.tail; ++id) {
        PlainFrame frame = waiting_frame(writer, map, place, id);
        put(map.frame(place).successor, 0u);
        store_word(writer, place, frame.word, first_word);
        if (frame.flags & frame_key) { enter_key(writer, place, frame.flags, frame.key(map)); }
        if (!may_end_each_other) { // it is a chunk, and lives
            index_note(map, writer.index, place, frame.length);
            writer.lasting.add(place, frame.length, 0, frame.flags);
        }
        place = frame.end();
    }
    if (may_end_each_other) { count_in_all(writer, first_word); }
    ++writer.key_epoch;
    writer.pending_keys = writer.pending_slots = 0;
    publish(writer, map, writer.committed, writer.tail, first_word);
    writer.easy_commit_end = writer.index.named;
    return 0;
}

// One chunk that nothing has superseded, as its frame tells it.
inline int publish_one(Writer &writer, const SegmentMap &map, uint32_t place, uint32_t end, uint32_t word, uint32_t flags) {
    writer.lasting.add(place, end - place, 0, flags);
    return publish(writer, map, place, end, word);
}

[[gnu::noinline]] void enter_key_to_know(Writer &writer, uint32_t place, uint32_t length, uint32_t flags) {
    std::byte *bytes = writer.current->map.bytes(place);
    const FrameShape &shape = shapes_to_key.of[flags & frame_field_flags];
    Key key{bytes + shape.key, field_at<uint8_t>(bytes, shape.key_size), field_at<uint32_t>(bytes, shape.link)};
    KeySlot *slot = enter_key(writer, place, flags, key);
    know_key(writer, length, flags, key, slot);
}

// One with a key, or behind the last page whose index entry is there.
[[gnu::noinline, gnu::aligned(cache_line)]] int commit_one(Writer &writer) {
    uint32_t place = writer.committed, end = writer.tail;
    index_note(writer.current->map, writer.index, place, end - place);
    writer.easy_commit_end = writer.index.named;
    const SegmentMap map = writer.current->map; // a copy, as in writer_commit
    FrameHeader &header = map.frame(place);
    uint32_t word = peek(header.successor), flags = frame_flags(peek(header.id_flags));
    put(header.successor, 0u);
    if (writer.pending_keys == 0) { return publish_one(writer, map, place, end, word, flags & ~uint32_t(frame_key)); }
    if (writer.pending_known) {
        enter_known_key(writer, place, end - place, flags, *writer.pending_known);
    } else {
        enter_key_to_know(writer, place, end - place, flags);
    }
    writer.pending_keys = writer.pending_slots = 0;
    return publish_one(writer, map, place, end, word, flags);
}

int commit_with_ado(Writer &writer) {
    if (writer.pending_count != 0) { return commit_records(writer); }
    return writer.last_plain == writer.committed ? commit_one(writer) : commit_plain(writer);
}

} // namespace

void lay_frame(const SegmentMap &map, const Pending &pending, const void *key, uint32_t tag, uint64_t expires) {
    FrameHeader &header = map.frame(pending.place);
    std::byte *bytes = map.bytes(pending.place);
    put(header.successor, 0u);
    put(header.id_flags, pack_id(pending.id, pending.flags));
    uint32_t fields = field_flags(pending.flags);
    if (fields == 0 && !pending.has_long_size) { return; }
    FrameShape shape = frame_shape(fields, pending.key_size, pending.has_long_size);
    if (fields & frame_expiry) { put_field(bytes, shape.expiry, expires); }
    if (fields & frame_tag) { put_field(bytes, shape.tag, tag); }
    if (fields & frame_aligned) { put_field(bytes, shape.alignment, uint8_t(__builtin_ctz(pending.alignment))); }
    if (fields & frame_key) {
        put_field(bytes, shape.key_size, uint8_t(pending.key_size));
        copy_bytes(bytes + shape.key, key, pending.key_size);
    }
    if (pending.has_long_size) { put_field(bytes, shape.size, pending.size); }
}

[[gnu::aligned(cache_line)]] int writer_commit(Writer &writer) {
    uint32_t place = writer.committed, end = writer.tail;
    if (place == end) { return 0; }
    const SegmentMap map = writer.current->map; // a copy: the stores below change nothing in it
    put(map.frame(end).commit, 0u);
    // The usual case, which has to be fast: one chunk without a key, in a page whose index entry is there.
    if (__builtin_expect(writer.last_plain != place || end > writer.easy_commit_end, 0)) { return commit_with_ado(writer); }
    FrameHeader &header = map.frame(place);
    uint32_t word = peek(header.successor), flags = frame_flags(peek(header.id_flags));
    put(header.successor, 0u);
    return publish_one(writer, map, place, end, word, flags & ~uint32_t(frame_key));
}

} // namespace speculo::core
