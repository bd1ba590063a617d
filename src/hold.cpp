// SPDX-License-Identifier: LGPL-2.1-or-later
// Views, and holds that keep their bytes. What a view must remember is in its opaque words:
//   0 number of the handle   1 serial << 2 | kind   2 generation << 32 | place, both cut
//   3 the held segment, 0 not held; of an untrusted area: the copy, and marks of chunk_copy.hpp
#include <cerrno>

#include "reader.hpp"

namespace speculo::core {

namespace {

bool is_held(uint64_t word) { return word & copy_mark ? (word & copy_held) != 0 : word != 0; }

// The segment that a view of this handle lies in, if it is still valid.
Attachment *segment_of(const Reader &reader, const speculo_chunk &chunk) {
    uint64_t serial = chunk.opaque[1];
    if (serial == pack_serial(ViewKind::next, reader.next_serial)) {
        return reader.cursor.view ? reader.cursor.view : reader.cursor.segment;
    }
    if (serial == pack_serial(ViewKind::key, reader.key_serial)) { return reader.key_segment; }
    bool is_of_snapshot = (serial & 3) == uint64_t(ViewKind::snapshot);
    return is_of_snapshot ? snapshot_segment(reader, serial >> 2) : nullptr;
}

} // namespace

uint32_t view_place(const speculo_chunk &view, uint64_t number, uint64_t generation) {
    bool is_here = view.opaque[0] == number && view.opaque[2] >> 32 == (generation & UINT32_MAX);
    return is_here ? uint32_t(view.opaque[2]) : 0;
}

int view_hold(Reader &reader, speculo_chunk &chunk) {
    if (chunk.opaque[0] != reader.number) { return -EINVAL; }
    if (is_held(chunk.opaque[3])) { return 0; }
    Attachment *segment = segment_of(reader, chunk);
    if (!segment) { return -EINVAL; }
    if (chunk.opaque[3] & copy_mark) {
        packed_copy(chunk.opaque[3])->users.add();
        chunk.opaque[3] |= copy_held;
    } else {
        attachment_pin_again(*segment);
        chunk.opaque[3] = reinterpret_cast<uintptr_t>(segment);
    }
    return 0;
}

void view_release(speculo_chunk &chunk) {
    uint64_t held = chunk.opaque[3];
    if (!is_held(held)) { return; }
    chunk = speculo_chunk{};
    if (held & copy_mark) {
        chunk_copy_release(packed_copy(held));
    } else {
        // NOLINTNEXTLINE(performance-no-int-to-ptr): a view has room for numbers only, the same for 32 and 64 bits
        attachment_unpin(reinterpret_cast<Attachment *>(uintptr_t(held)));
    }
}

} // namespace speculo::core
