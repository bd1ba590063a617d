// SPDX-License-Identifier: LGPL-2.1-or-later
// The area as a whole: control page, the objects that it names, bell and lock. Nothing is told that a writer may have been
// about to change: where a name or a generation does not fit, the control page is asked again, and only what has not moved is
// wrong.
#include "check.hpp"

#include "bell.hpp"
#include "errors.hpp"
#include "handle.hpp"

namespace speculo::core {

namespace {

constexpr int tries = 64; // each one in vain costs the writer a whole compaction

// An object that is not there. A writer that dies may leave one, which it was about to make; but what END names was made.
struct Missing {
    bool is_missing, is_named_by_end;
    uint64_t entry; // of the slot table
};

// Zeroed.
struct Check : speculo_area {
    Attachments attachments;
    Missing missing[max_slots];
    uint64_t ends[max_slots]; // slot << 32 | incarnation, as END of the segment in that slot has it
    bool has_end[max_slots];
};

// What is wrong with an object, not with the system or the caller.
bool is_damage(int error) {
    return error == -EBADMSG || error == -EPROTONOSUPPORT || error == -EPERM || error == -ESTALE || error == -ELOOP;
}

void tell(Findings &findings, const Check &check, const char *text) {
    findings.add(-EBADMSG, "control page", check.area.place.name, text);
}

// ---- control page ----

void check_choices(const Check &check, Findings &findings) {
    const ControlPage &control = *check.area.control;
    const char *name = check.area.place.name;
    if (const char *flaw = control_flaw(control)) { findings.add(-EBADMSG, "control page", name, "% is out of range", flaw); }
    if ((peek(control.compatible) | peek(control.read_compatible)) != 0) { return; } // what a newer version added
    uint32_t flags = peek(control.flags) & ~SPECULO_AREA_LOSSLESS;
    uint32_t marks = observe_mark(control.marks) & ~uint32_t(mark_removed | mark_clean | mark_writer_unknown | mark_barrier);
    if (flags != 0) {
        findings.add(-EBADMSG, "control page", name, "offset %: unknown flags %", offsetof(ControlPage, flags), Hex{flags});
    }
    if (marks != 0) {
        findings.add(-EBADMSG, "control page", name, "offset %: unknown marks %", offsetof(ControlPage, marks), Hex{marks});
    }
}

// As a reader opens an area.
int open_control(Check &check, Findings &findings) {
    Area &area = check.area;
    int error = control_open(area, os::Access::read, Trust{os::operations.user(), false, 0, false});
    if (error == -EBADMSG) {
        tell(findings, check, "it is no regular file of a page, or its magic, byte order or size is wrong");
    }
    if (error < 0) { return error; }
    if (observe_current(area.control->current) == 0 || (observe_mark(area.control->marks) & mark_removed)) { return -ENOENT; }
    Boot boot;
    if (error = control_boot(area, boot); error < 0) { return error; }
    if (boot != Boot::unclean) { return 0; }
    tell(findings, check, "the system went down before the area was written back");
    return -EBADMSG;
}

// ---- objects ----

// -ENOENT: it has lost its name meanwhile.
int object_flaw(const Area &area, int fd, uint32_t slot, uint64_t entry, const char **ret_flaw) {
    os::FileStatus status;
    int error = os::operations.status(fd, &status);
    if (error < 0) { return error; }
    error = control_check_object(area, status);
    if (error == -ENOENT) { return error; }
    if (error == 0 && status.size >= page_size) {
        void *address = nullptr;
        error = os::operations.map(fd, page_size, os::Access::read, &address);
        if (error < 0) { return error; }
        Geometry geometry;
        *ret_flaw = segment_flaw(area, *static_cast<SegmentHeader *>(address), status.size, slot, entry, geometry).text;
        os::operations.unmap(address, page_size);
    } else if (error == 0) {
        *ret_flaw = "it is shorter than its header";
    } else {
        *ret_flaw = error == -EPERM ? "it has another owner, other names, or others may write it" : "it is no regular file";
    }
    return 0;
}

int flaw_by_name(const Area &area, const char *name, uint32_t slot, uint64_t entry, const char **ret_flaw) {
    int fd = os::operations.open(area.place.directory, name, os::Access::read);
    if (fd == -ELOOP) {
        *ret_flaw = "it is a symbolic link";
        return 0;
    }
    if (fd < 0) { return fd; }
    int error = object_flaw(area, fd, slot, entry, ret_flaw);
    os::operations.close(fd);
    return error;
}

// Why a segment could not be entered. -EAGAIN: nothing is wrong with it by now; it was just about to get its name, or to lose it.
int tell_segment(const Check &check, Findings &findings, uint32_t slot, uint64_t entry, int error) {
    ObjectName name = segment_name(check.area.place, slot, slot_nonce(entry));
    const char *flaw = nullptr;
    if (is_damage(error)) { error = flaw_by_name(check.area, name.text, slot, entry, &flaw); }
    if (!flaw && (error == 0 || error == -ENOENT)) { return -EAGAIN; }
    if (flaw) {
        findings.add(-EBADMSG, "segment", name.text, "%", flaw);
    } else {
        findings.add(error, "segment", name.text, "cannot be looked at: %", error_text(error));
    }
    return 0;
}

// 1, 0, or an error. Whether it is to be there is to be asked afterwards: a writer changes the entry first, then the name.
int is_there(const Check &check, uint32_t slot, uint64_t entry) {
    os::FileStatus status;
    ObjectName name = segment_name(check.area.place, slot, slot_nonce(entry));
    int error = os::operations.status_at(check.area.place.directory, name.text, &status);
    return error == 0 ? 1 : error == -ENOENT ? 0 : error;
}

bool has_moved(const Check &check, uint32_t slot, uint64_t entry) {
    return observe_slot(check.area.control->slots[slot]) != entry;
}

// ---- segments ----

void check_end(Check &check, SegmentCheck &segment, uint32_t slot, uint64_t generation) {
    const Frame &end = segment.end_frame;
    uint32_t next = current_slot(end.id), incarnation = load_successor(segment.map().frame(end.place).successor);
    if (current_generation(end.id) != generation + 1) {
        segment.bad("place %: END names generation % as the one after %", end.place, current_generation(end.id), generation);
    }
    uint32_t newest = slot_incarnation(observe_slot(check.area.control->slots[next]));
    if (!can_have_been(incarnation, newest)) {
        segment.bad("place %: END names incarnation % of slot %, which never was", end.place, incarnation, next);
    }
    check.ends[slot] = uint64_t(next) << 32 | incarnation;
    check.has_end[slot] = true;
}

// `current`: as it was after the segment was pinned.
void look_into(Check &check, Findings &findings, Attachment &attachment, uint64_t entry, uint64_t current) {
    ObjectName name = segment_name(check.area.place, attachment.slot, slot_nonce(entry));
    SegmentCheck segment(findings, name, attachment);
    bool is_current = attachment.slot == current_slot(current) && attachment.generation == current_generation(current);
    if (!check_frames(segment)) { return; }
    check_successors(segment);
    check_keys(segment, peek(check.area.control->area_id[0]));
    if (segment.has_end_frame) { check_end(check, segment, attachment.slot, attachment.generation); }
    // END comes after `current` has moved, and before it moves once more.
    bool is_to_have_end = attachment.generation + 1 < current_generation(current);
    if (is_to_have_end && !segment.has_end_frame) {
        segment.bad("place %: END is missing in a segment that was left long ago", segment.end);
    }
    if (segment.has_end_frame && is_current && observe_current(check.area.control->current) == current) {
        segment.bad("place %: END in the segment that is current", segment.end);
    }
}

int tell_generation(const Check &check, Findings &findings, const Attachment &attachment, uint64_t entry, uint64_t current) {
    uint64_t generation = observe_generation(attachment.map.header().generation), wanted = current_generation(current);
    if (generation == wanted) { return -EAGAIN; } // somebody else has locked it
    findings.add(-EBADMSG, "segment", segment_name(check.area.place, attachment.slot, slot_nonce(entry)).text,
                 "offset %: cannot be entered as generation %, which is current; its header says %",
                 offsetof(SegmentHeader, generation), wanted, generation);
    return 0;
}

// The segment that `current` names. -EAGAIN: that has moved, or is to be looked at once more.
int try_current(Check &check, Findings &findings, uint64_t current) {
    uint32_t slot = current_slot(current);
    uint64_t entry = observe_slot(check.area.control->slots[slot]);
    Attachment *attachment = nullptr;
    int error = attachment_get(check.area, check.attachments, slot, entry, &attachment);
    bool is_attached = error == 0;
    if (error == 0) { error = attachment_pin(*attachment, current_generation(current), Entry::view); }
    if (error == 0) {
        look_into(check, findings, *attachment, entry, current);
        attachment_unpin(attachment);
        return 0;
    }
    int there = is_there(check, slot, entry);
    if (control_is_stale(check.area)) { return -ESTALE; }
    if (observe_current(check.area.control->current) != current || has_moved(check, slot, entry)) { return -EAGAIN; }
    if (slot_nonce(entry) == 0) {
        tell(findings, check, "`current` names a slot without an object");
        return 0;
    }
    if (is_attached && error == -ESTALE) { return tell_generation(check, findings, *attachment, entry, current); }
    if (there != 0) { return tell_segment(check, findings, slot, entry, there < 0 ? there : error); }
    findings.add(-EBADMSG, "segment", segment_name(check.area.place, slot, slot_nonce(entry)).text,
                 "there is no such object, and it is the current one");
    return 0;
}

int check_current(Check &check, Findings &findings, uint32_t &ret_slot) {
    for (int i = 0; i < tries; ++i) {
        uint64_t current = observe_current(check.area.control->current);
        ret_slot = current_slot(current);
        if (!can_be_current(current)) {
            tell(findings, check, "`current` is of a generation that no history reaches");
            return 0;
        }
        if (int error = try_current(check, findings, current); error != -EAGAIN) { return error; }
    }
    return -EAGAIN;
}

// A generation that no history can have; `current` was loaded after it.
bool is_out_of_turn(uint64_t generation, uint32_t slot, uint64_t current) {
    uint64_t newest = current_generation(current);
    return generation > newest + 1 || (generation == newest && slot != current_slot(current));
}

// History, if it is any. -EAGAIN: it is being used again.
int try_retired(Check &check, Findings &findings, uint32_t slot, uint64_t entry, Attachment &attachment) {
    uint64_t generation = observe_generation(attachment.map.header().generation);
    if (generation == 0) { return 0; } // not to be entered
    if (int error = attachment_pin(attachment, generation, Entry::view); error < 0) { return error == -ESTALE ? -EAGAIN : error; }
    uint64_t current = observe_current(check.area.control->current);
    if (is_out_of_turn(generation, slot, current)) {
        ObjectName name = segment_name(check.area.place, slot, slot_nonce(entry));
        findings.add(-EBADMSG, "segment", name.text, "offset %: generation % cannot be, as % is current in slot %",
                     offsetof(SegmentHeader, generation), generation, current_generation(current), current_slot(current));
    } else if (generation < current_generation(current)) {
        look_into(check, findings, attachment, entry, current);
    } // else it is current by now, or about to be
    attachment_unpin(&attachment);
    return 0;
}

int check_retired(Check &check, Findings &findings, uint32_t slot) {
    for (int i = 0; i < tries; ++i) {
        uint64_t entry = observe_slot(check.area.control->slots[slot]);
        if (slot_nonce(entry) == 0) { return 0; }
        Attachment *attachment = nullptr;
        int error = attachment_get(check.area, check.attachments, slot, entry, &attachment);
        if (error == 0) { error = try_retired(check, findings, slot, entry, *attachment); }
        if (error == 0) { return 0; }
        int there = is_there(check, slot, entry);
        if (control_is_stale(check.area)) { return -ESTALE; }
        if (error == -EAGAIN || has_moved(check, slot, entry)) { continue; }
        if (there == 0) {
            check.missing[slot] = {true, false, entry};
            return 0;
        }
        if (tell_segment(check, findings, slot, entry, there < 0 ? there : error) == 0) { return 0; }
    }
    return -EAGAIN;
}

// ---- what is missing ----

void note_ends(Check &check) {
    for (uint32_t from = 0; from < max_slots; ++from) {
        Missing &missing = check.missing[check.ends[from] >> 32];
        uint32_t incarnation = uint32_t(check.ends[from]);
        if (check.has_end[from] && slot_incarnation(missing.entry) == incarnation) { missing.is_named_by_end = true; }
    }
}

// Those that were missing are looked for again. One that nothing speaks of may be: a writer died, or is at work, between its
// entry and its name.
int check_missing(Check &check, Findings &findings) {
    uint32_t count = 0;
    for (uint32_t slot = 0; slot < max_slots; ++slot) {
        Missing &missing = check.missing[slot];
        if (!missing.is_missing) { continue; }
        uint64_t entry = missing.entry;
        missing.is_missing = false;
        if (int error = check_retired(check, findings, slot); error < 0) { return error; }
        missing.is_missing = missing.is_missing && missing.entry == entry; // all of them at one time, then
        count += missing.is_missing;
    }
    if (count > 0 && control_is_stale(check.area)) { return -ESTALE; }
    note_ends(check);
    for (uint32_t slot = 0; slot < max_slots; ++slot) {
        const Missing &missing = check.missing[slot];
        if (!missing.is_missing || (count == 1 && !missing.is_named_by_end)) { continue; }
        ObjectName name = segment_name(check.area.place, slot, slot_nonce(missing.entry));
        findings.add(-EBADMSG, "segment", name.text, "there is no such object, but slot % of the control page names it", slot);
    }
    return 0;
}

int check_beside(const Check &check, Findings &findings, const char *kind, const ObjectName &name, uint64_t least) {
    os::FileStatus status;
    int error = os::operations.status_at(check.area.place.directory, name.text, &status);
    if (error == 0) { error = control_check_object(check.area, status); }
    if (error == 0 && status.size >= least) { return 0; }
    if (control_is_stale(check.area)) { return -ESTALE; }
    if (error == 0) {
        findings.add(-EBADMSG, kind, name.text, "it is shorter than a page");
    } else if (error == -ENOENT) {
        findings.add(-EBADMSG, kind, name.text, "there is none");
    } else if (is_damage(error)) {
        findings.add(-EBADMSG, kind, name.text, "it is no regular file of the area's owner alone");
    } else {
        findings.add(error, kind, name.text, "cannot be looked at: %", error_text(error));
    }
    return 0;
}

int check_objects(Check &check, Findings &findings) {
    check_choices(check, findings);
    uint32_t current = 0;
    int error = check_current(check, findings, current);
    for (uint32_t slot = 0; slot < max_slots && error == 0; ++slot) {
        if (slot != current) { error = check_retired(check, findings, slot); }
    }
    if (error == 0) { error = check_missing(check, findings); }
    if (error == 0) { error = check_beside(check, findings, "bell", bell_name(check.area.place), page_size); }
    if (error == 0) { error = check_beside(check, findings, "lock", lock_name(check.area.place), 0); }
    return error;
}

} // namespace

void Findings::tell(int error, const char *pattern, const Value *values, const Value *end) {
    if (result_ == 0 || error == -EBADMSG) { result_ = error; }
    if (is_full()) { return; }
    bool is_last = ++count_ > most;
    if (!report_) { return; }
    if (is_last) { return report_(user_, -EBADMSG, "further problems are not listed"); }
    Text text;
    text.add("% %: ", values, end);
    text.add(pattern, values + 2, end);
    report_(user_, error, text.c_str());
}

int area_check(const char *name, speculo_report_fn report, void *user) {
    int error;
    auto *check = handle_new<Check>(name, Role::reader, error);
    if (!check) { return error; }
    Findings findings(report, user);
    error = open_control(*check, findings);
    if (error == 0) { error = check_objects(*check, findings); }
    attachments_close(check->attachments);
    handle_end(check);
    // What was found stays true where not everything could be looked at; but an area that is being removed is none any more.
    bool is_unsound = findings.result() == -EBADMSG && error != -ESTALE;
    return error < 0 && !is_unsound ? error : findings.result();
}

} // namespace speculo::core
