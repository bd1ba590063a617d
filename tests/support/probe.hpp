// SPDX-License-Identifier: LGPL-2.1-or-later
// An area's objects seen from behind: their shared words can be read and stored by hand, and their locks tried.
#pragma once

#include "area_names.hpp"
#include "control.hpp"
#include "frame.hpp"
#include "segment.hpp"

namespace speculo::test {

// One segment object, as it was when the probe was made; it stays reachable when its name is gone.
class SegmentProbe {
public:
    SegmentProbe(core::Area &area, uint32_t slot) { EXPECT_EQ(core::segment_adopt(area, slot, &segment_), 0); }
    ~SegmentProbe() {
        if (segment_) { core::segment_free(segment_); }
    }
    SegmentProbe(const SegmentProbe &) = delete;
    SegmentProbe &operator=(const SegmentProbe &) = delete;

    const core::SegmentMap &map() const { return segment_->map; }
    uint64_t generation() const { return core::observe_generation(map().header().generation); }

    // Whether somebody has locked that byte. Nobody ever has where there are no range locks.
    bool is_locked(uint64_t byte) {
        int error = lock(byte);
        if (error == 0) { unlock(byte); }
        bool is_plausible = os::has_range_locks ? error == 0 || error == -EAGAIN : error == -EOPNOTSUPP;
        EXPECT_TRUE(is_plausible) << error;
        return error == -EAGAIN;
    }
    // "cursor": both bytes are locked; "view": byte 0 alone; "free": none.
    std::string locks() {
        bool view = is_locked(0), cursor = is_locked(1);
        return view && cursor ? "cursor" : view ? "view" : cursor ? "byte 1 alone" : "free";
    }
    // As the writer does when it takes the segment.
    int lock(uint64_t first, uint64_t count = 1) {
        return os::operations.lock(segment_->file.fd, os::Lock::exclusive, first, count);
    }
    void unlock(uint64_t first, uint64_t count = 1) { os::operations.lock(segment_->file.fd, os::Lock::none, first, count); }

    // The place of a chunk, among the committed frames.
    uint32_t place_of(uint64_t id) const {
        core::FrameWalk walk(map(), core::first_place, end());
        core::Frame frame;
        while (walk.next(frame) == 1) {
            if (!frame.is_control() && frame.id == id) { return frame.place; }
        }
        ADD_FAILURE() << "no chunk " << id;
        return 0;
    }
    core::FrameHeader &frame_of(uint64_t id) const { return map().frame(place_of(id)); }

    // The end, or the place of END.
    uint32_t end() const {
        uint32_t end = 0;
        EXPECT_EQ(core::find_end(
                      map(), core::first_place, [](void *) { return 0; }, nullptr, end),
                  0);
        return end;
    }

private:
    core::WriterSegment *segment_ = nullptr;
};

class AreaProbe {
public:
    explicit AreaProbe(const AreaName &name) {
        EXPECT_EQ(core::place_open(name.c_str(), area_.place), 0);
        EXPECT_EQ(core::control_open(area_, os::Access::read_write, core::Trust{os::operations.user(), false, 0, true}), 0);
    }
    ~AreaProbe() {
        core::control_close(area_);
        core::place_close(area_.place);
    }
    AreaProbe(const AreaProbe &) = delete;
    AreaProbe &operator=(const AreaProbe &) = delete;

    core::Area &area() { return area_; }
    core::ControlPage &control() { return *area_.control; }
    uint64_t current() { return core::observe_current(control().current); }
    SegmentProbe current_segment() { return SegmentProbe(area_, core::current_slot(current())); }
    SegmentProbe segment(uint32_t slot) { return SegmentProbe(area_, slot); }

private:
    core::Area area_;
};

inline SegmentProbe current_segment(const AreaName &name) { return AreaProbe(name).current_segment(); }

} // namespace speculo::test
