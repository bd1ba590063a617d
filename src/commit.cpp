// SPDX-License-Identifier: LGPL-2.1-or-later
// Publication: everything that waits becomes visible by one store.
#include "writer.hpp"

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

uint32_t first_of(const Writer &writer) { return writer.pending[0].begin(); }

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
void count_out(Writer &writer, uint32_t place) {
    const SegmentMap &map = writer.current->map;
    Frame frame;
    uint32_t commit = observe_commit(map.frame(place).commit);
    if (commit == 0 || !read_frame(map, place, commit, frame)) { return; }
    writer.dead += frame.length;
    writer.lasting.take(frame);
    copy_supersede(writer, place);
}

// Stores the place of what supersedes a chunk, where nothing does yet. Otherwise returns what does.
uint32_t end_life(Writer &writer, uint32_t place, uint32_t successor) {
    const SegmentMap &map = writer.current->map;
    uint32_t before = load_successor(map.frame(place).successor);
    if (before == 0) {
        store_successor(map.frame(place).successor, successor);
        if (place < first_of(writer)) { count_out(writer, place); }
    }
    return before;
}

// By id: a chunk that this very commit superseded already passes it on to its superseder; a removal must still be told.
void supersede(Writer &writer, uint32_t place, uint32_t successor) {
    const SegmentMap &map = writer.current->map;
    while (place != 0 && place != successor) {
        if (frame_flags(peek(map.frame(place).id_flags)) & frame_removed) { return; }
        place = end_life(writer, place, successor);
        if (place < first_of(writer)) { return; } // nothing did, or an earlier commit
    }
}

void obsolete(Writer &writer, const Pending &pending) {
    uint32_t place = place_of(writer, pending.supersedes);
    if (place == 0) { return; } // a compaction dropped it meanwhile
    uint32_t first = first_of(writer);
    end_life(writer, place, place < first ? first : place);
}

// Makes the pending frame the newest version of its key, and the one before superseded.
void enter_key(Writer &writer, const Pending &pending) {
    const SegmentMap &map = writer.current->map;
    // Pending frames count: a key's later version in a commit finds the earlier one. alloc has seen to it that a slot is free.
    KeySearch search = key_search(map, pending.place, key_of(pending));
    uint32_t before = 0;
    if (search.found) {
        uint64_t versions = peek(search.slot->versions);
        before = newest_version(versions);
        uint32_t previous = before < first_of(writer) ? before : previous_version(versions);
        publish_versions(search.slot->versions, pack_versions(pending.place, previous));
        end_life(writer, before, pending.place);
    } else {
        key_claim(*search.slot, pending.hash, pending.place);
        ++writer.keys;
    }
    put_field(map.bytes(pending.place), frame_shape(pending.flags, 0, false).link, before);
}

// Key slots and successor words. Obsoleting comes last: it only ends what has no successor in this commit.
void store_words(Writer &writer) {
    for (size_t i = 0; i < writer.pending_count; ++i) {
        const Pending &pending = writer.pending[i];
        if (pending.kind == PendingKind::obsolete) { continue; }
        if (field_flags(pending.flags) & frame_key) { enter_key(writer, pending); }
        if (pending.supersedes != 0) { supersede(writer, place_of(writer, pending.supersedes), pending.place); }
    }
    for (size_t i = 0; i < writer.pending_count; ++i) {
        if (writer.pending[i].kind == PendingKind::obsolete) { obsolete(writer, writer.pending[i]); }
    }
}

// Commit word and index entry of one frame; the commit's first frame gets its word last of all.
void commit_frame(Writer &writer, uint32_t place, uint64_t length, uint32_t word, uint32_t first) {
    const SegmentMap &map = writer.current->map;
    index_note(map, writer.index, place, length);
    if (place != first) { put(map.frame(place).commit, word); }
}

// Returns the commit word of the first frame.
uint32_t commit_frames(Writer &writer, uint32_t first) {
    uint32_t first_word = 0;
    const SegmentMap &map = writer.current->map;
    for (size_t i = 0; i < writer.pending_count; ++i) {
        const Pending &pending = writer.pending[i];
        if (!pending.has_frame()) { continue; }
        uint32_t word = pending_word(pending);
        if (pending.pad_before != 0) {
            uint32_t padding = lay_padding(map, pending.begin(), pending.pad_before);
            commit_frame(writer, pending.begin(), pending.pad_before, padding, first);
            if (pending.begin() == first) { first_word = padding; }
        }
        commit_frame(writer, pending.place, pending.length, word, first);
        if (load_successor(map.frame(pending.place).successor) != 0) { // by this very commit
            writer.dead += pending.length;
        } else {
            writer.lasting.add(pending.place, pending.length, pending.alignment, pending.flags);
        }
        if (pending.place == first) { first_word = word; }
        if (pending.pad_after != 0) {
            uint32_t place = uint32_t(pending.place + pending.length);
            commit_frame(writer, place, pending.pad_after, lay_padding(map, place, pending.pad_after), first);
        }
    }
    return first_word;
}

void publish(Writer &writer, uint32_t first, uint32_t word) {
    const SegmentMap &map = writer.current->map;
    publish_commit(map.frame(first).commit, word);
    publish_hint(map.header().hint, writer.tail);
    writer.committed = writer.tail;
    writer.first_id = writer.next_id;
    ring_if_asked(writer.area, writer.ringer);
}

void note_plain(Writer &writer, const Pending &pending) {
    index_note(writer.current->map, writer.index, pending.place, pending.length);
    writer.lasting.add(pending.place, pending.length, 0, pending.flags);
}

// Nothing but frames without alignment where they were allocated: their commit words, the first one last.
void commit_plain(Writer &writer) {
    const SegmentMap &map = writer.current->map;
    const Pending *pending = writer.pending;
    size_t count = writer.pending_count;
    writer.pending_count = 0;
    note_plain(writer, *pending);
    for (size_t i = 1; i < count; ++i) {
        note_plain(writer, pending[i]);
        put(map.frame(pending[i].place).commit, commit_word(pending[i].size));
    }
    publish(writer, pending->place, commit_word(pending->size));
}

[[gnu::noinline]] void commit_words(Writer &writer) {
    for (size_t i = 0; i < writer.pending_count; ++i) {
        if (writer.pending[i].has_frame()) { bring_over(writer.current->map, writer.pending[i]); }
    }
    store_words(writer);
    uint32_t first = first_of(writer);
    publish(writer, first, commit_frames(writer, first));
    pending_clear(writer);
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

void writer_commit(Writer &writer) {
    if (writer.pending_count == 0) { return; }
    put(writer.current->map.frame(writer.tail).commit, 0u);
    return writer.has_words ? commit_words(writer) : commit_plain(writer);
}

} // namespace speculo::core
