// SPDX-License-Identifier: LGPL-2.1-or-later
#include "reader.hpp"

#include <cerrno>
#include <utility>

#include "index.hpp"

namespace speculo::core {

namespace {

constexpr int entry_tries = 64; // each one in vain costs the writer a whole compaction

int refresh_attachment(void *user) { return attachment_refresh(*static_cast<Attachment *>(user)); }

// Once: -ESTALE if `current` has moved meanwhile.
int try_current(Reader &reader, Entry entry, Attachment **ret_segment) {
    uint64_t current = control_current(reader.area);
    if (current == 0) { return -ENOENT; }
    uint32_t slot = current_slot(current);
    Attachment *segment = nullptr;
    int error = attachment_get(reader.area, reader.attachments, slot, control_slot(reader.area, slot), &segment);
    if (error == 0) { error = attachment_pin(*segment, current_generation(current), entry); }
    if (error == 0) { *ret_segment = segment; }
    return error;
}

bool is_removed(const Area &area) { return control_marks(area) & mark_removed; }

void prefault(Reader &reader, uint64_t bytes) {
    Attachment *segment = reader.cursor.segment;
    if (bytes == 0 || reader.area.copier) { return; }
    uint64_t there = segment->map.geometry.chunks_offset + segment->map.readable * place_size;
    os::operations.populate(segment->map.base, size_t(bytes < there ? bytes : there), os::Access::read);
}

void release_copy(ChunkCopy *&last) {
    if (ChunkCopy *copy = std::exchange(last, nullptr)) { chunk_copy_release(copy); }
}

int open_area(Reader &reader, uint32_t flags, const speculo_area_options &options) {
    bool is_untrusted = flags & SPECULO_OPEN_UNTRUSTED;
    Trust trust{os::operations.user(), (options.flags & SPECULO_AREA_TRUST_UID) != 0, options.trusted_uid, is_untrusted};
    int error = control_open(reader.area, os::Access::read, trust);
    if (error < 0) { return error; }
    if (control_current(reader.area) == 0 || is_removed(reader.area)) { return -ENOENT; }
    Boot boot;
    if (error = control_boot(reader.area, boot); error < 0) { return error; }
    if (boot == Boot::unclean) { return -EBADMSG; } // nobody knows which pages reached the disk
    reader.was_rebooted = boot == Boot::clean;
    if (flags & SPECULO_OPEN_NO_CURSOR) {
        error = wait_note_newest(reader);
    } else {
        error = cursor_start(reader, flags & SPECULO_OPEN_AT_END ? Position::end : Position::beginning);
        if (error == 0) { prefault(reader, options.prefault); }
    }
    return error == -ESTALE ? -ENOENT : error;
}

} // namespace

int reader_open(const char *name, uint32_t flags, const speculo_area_options &options, Reader **ret_reader) {
    int error;
    auto *reader = handle_new<Reader>(name, Role::reader, error);
    if (!reader) { return error; }
    waiting_begin(reader->waiting);
    if (flags & SPECULO_OPEN_UNTRUSTED) {
        reader->area.copier = Copier::make(options.max_capacity ? options.max_capacity : Copier::default_largest);
        error = reader->area.copier ? 0 : -ENOMEM;
    }
    if (error == 0) { error = open_area(*reader, flags, options); }
    if (reader->area.copier) { error = reader->area.copier->finish(error); }
    if (error < 0) {
        reader_close(reader);
        return error;
    }
    *ret_reader = reader;
    return 0;
}

void reader_close(Reader *reader) {
    bool is_own = reader->is_own();
    if (reader->area.copier) { reader->area.copier->begin(); }
    snapshots_orphan(*reader);
    cursor_end(*reader);
    waiting_end(reader->waiting, is_own || reader->area.copier);
    if (Attachment *segment = std::exchange(reader->key_segment, nullptr)) { attachment_unpin(segment); }
    attachments_close(reader->attachments);
    if (auto *keys = std::exchange(reader->recent_keys, nullptr)) { os::operations.release(keys); }
    release_copy(reader->next_copy);
    release_copy(reader->key_copy);
    Copier *copier = reader->area.copier;
    handle_end(reader);
    os::operations.release(copier);
}

int enter_current(Reader &reader, Entry entry, Attachment **ret_segment) {
    for (int i = 0; i < entry_tries; ++i) {
        int error = try_current(reader, entry, ret_segment);
        if (error != -ESTALE) { return error; }
        if (is_removed(reader.area)) { return -ESTALE; }
    }
    return control_is_stale(reader.area) ? -ESTALE : -EAGAIN;
}

int borrow_current(Reader &reader, Attachment **ret_segment) {
    uint64_t generation = current_generation(control_current(reader.area));
    Attachment *const entered[] = {reader.cursor.segment, reader.key_segment};
    for (Attachment *segment : entered) {
        if (segment && segment->generation == generation) {
            attachment_pin_again(*segment);
            *ret_segment = segment;
            return 0;
        }
    }
    return enter_current(reader, Entry::view, ret_segment);
}

template <class Form> int segment_end(Attachment &segment, uint32_t from, uint32_t &ret_end) {
    return find_end(Form::source(segment), from, refresh_attachment, &segment, ret_end);
}
template int segment_end<Mapped>(Attachment &, uint32_t, uint32_t &);
template int segment_end<Copied>(Attachment &, uint32_t, uint32_t &);

template <class Source> int newest_id(const Source &source, uint32_t end, uint64_t &ret_id) {
    int error = index_last_id(source, end, ret_id);
    uint64_t before = source.next_id() - 1;
    if (ret_id < before && before <= max_id) { ret_id = before; }
    return error;
}
template int newest_id(const SegmentMap &, uint32_t, uint64_t &);
template __attribute__((cold)) int newest_id(const SegmentFile &, uint32_t, uint64_t &);

bool is_stale_and_read(const Reader &reader) {
    const Cursor &cursor = reader.cursor;
    if (!control_is_stale(reader.area)) { return false; }
    if (!cursor.segment) { return true; }
    Attachment &segment = *cursor.segment;
    if (cursor.place >= segment.map.readable) { attachment_refresh(segment); }
    return cursor.place < segment.map.readable && attachment_commit(segment, cursor.place) == 0;
}

int reader_first_now(Reader &reader, uint64_t &ret_now) {
    if (reader.was_rebooted) {
        Boot boot;
        if (int error = control_boot(reader.area, boot); error < 0) { return error; }
        reader.was_rebooted = boot == Boot::clean;
        ret_now = UINT64_MAX;
        if (reader.was_rebooted) { return 0; }
    }
    return clock_first_now(reader.clock, ret_now);
}

} // namespace speculo::core
