// SPDX-License-Identifier: LGPL-2.1-or-later
#include "info.hpp"

#include <cerrno>

#include "reader.hpp"
#include "writer.hpp"

namespace speculo::core {

namespace {

int tell_area(const Area &area, speculo_area_info &info) {
    if (int error = control_mode(area, info.mode); error < 0) { return error; }
    info.owner_uid = area.owner;
    for (uint32_t slot = 0; slot < max_slots; ++slot) {
        uint32_t nonce = slot_nonce(control_slot(area, slot));
        os::FileStatus status;
        if (nonce == 0) { continue; }
        int error = os::operations.status_at(area.place.directory, segment_name(area.place, slot, nonce).text, &status);
        if (error < 0 && error != -ENOENT) { return error; }
        if (error < 0) { continue; } // replaced meanwhile
        ++info.segments;
        info.memory += status.size;
    }
    return 0;
}

// `now`, which may fail, is asked only if something expires.
template <class Source, class Now>
int count(const Source &source, const Frame &frame, uint32_t end, Now now, speculo_area_info &info) {
    if (!frame.is_chunk()) { return 0; }
    uint32_t successor = source.successor_at(frame.place);
    if (successor != 0 && successor < end) {
        ++info.superseded_chunks;
        return 0;
    }
    uint64_t time = 0;
    if (int error = frame.expires != 0 ? now(time) : 0; error < 0) { return error; }
    if (frame.expires != 0 && has_passed(frame.expires, time)) {
        ++info.expired_chunks;
    } else {
        ++info.live_chunks;
        info.live_bytes += frame.size;
    }
    return 0;
}

template <class Source, class Now>
int tell_segment(const Source &source, uint32_t end, uint32_t flags, Now now, speculo_area_info &info) {
    info.capacity = source.geometry.capacity;
    info.used = (end - first_place) * place_size;
    info.generation = source.generation();
    if (int error = newest_id(source, end, info.newest_id); error < 0) { return error; }
    if (flags & SPECULO_INFO_QUICK) { return 0; }
    FrameWalk walk(source, first_place, end);
    Frame frame;
    int found;
    while ((found = walk.next(frame)) == 1) {
        if (int error = count(source, frame, end, now, info); error < 0) { return error; }
    }
    return found;
}

template <class Form> int tell_reader(Reader &reader, uint32_t flags, speculo_area_info &info) {
    const Cursor &cursor = reader.cursor;
    info.skipped = cursor.skipped + (cursor.passed - cursor.delivered);
    info.jumps = cursor.jumps;
    info.writer_alive = liveness_query(reader.area) != 0; // not to be known: alive
    Attachment *segment = nullptr;
    if (int error = borrow_current(reader, &segment); error < 0) { return error; }
    uint32_t end;
    int error = segment_end<Form>(*segment, first_place, end);
    if (error == 0) {
        error = tell_segment(
            Form::source(*segment), end, flags, [&](uint64_t &time) { return reader_now(reader, time); }, info);
    }
    info.generation = segment->generation;
    attachment_unpin(segment);
    return error;
}

int tell_writer(Writer &writer, uint32_t flags, speculo_area_info &info) {
    auto now = [&](uint64_t &time) { return clock_first_now(writer.clock, time); };
    int error = tell_segment(writer.current->map, writer.committed, flags, now, info);
    info.used = (writer.tail - first_place) * place_size;
    info.writer_alive = 1;
    return error;
}

} // namespace

int area_info(speculo_area &area, uint32_t flags, speculo_area_info &ret_info) {
    if (area.role == Role::writer) {
        int error = tell_area(area.area, ret_info);
        return error < 0 ? error : tell_writer(static_cast<Writer &>(area), flags, ret_info);
    }
    return in_form(area.area.copier, [&](auto form) {
        int error = tell_area(area.area, ret_info);
        return error < 0 ? error : tell_reader<decltype(form)>(static_cast<Reader &>(area), flags, ret_info);
    });
}

} // namespace speculo::core
