// SPDX-License-Identifier: LGPL-2.1-or-later
// speculo_area_check of a damaged area while the system fails: it may say that it could not look, never that all is sound.
#include "checking.hpp"
#include "reading_scenarios.hpp"

namespace {

using namespace speculo;
using namespace speculo::test;
using namespace speculo::test::reading_scenarios;

// ---- damages, each in an object of its own ----

// A damage may be one that the file system has.
using Restore = std::shared_ptr<void>;

uint32_t slot_behind(AreaProbe &area, uint64_t generations) {
    for (uint32_t slot = 0; slot < 3; ++slot) {
        if (area.segment(slot).generation() + generations == core::current_generation(area.current())) { return slot; }
    }
    ADD_FAILURE() << "no such generation";
    return 0;
}

Restore damage_control_page(const AreaName &, AreaProbe &area) {
    core::put(area.control().marks, 1u << 9);
    return nullptr;
}
Restore damage_current(const AreaName &, AreaProbe &area) {
    SegmentProbe probe = area.current_segment();
    core::put(probe.map().header().prefix_end, probe.end() + 1);
    return nullptr;
}
Restore damage_frame(const AreaName &, AreaProbe &area) {
    core::put(area.current_segment().map().frame(core::first_place).commit, 1u << 20);
    return nullptr;
}
Restore damage_generation(const AreaName &, AreaProbe &area) {
    core::publish_generation(area.current_segment().map().header().generation, 99);
    return nullptr;
}
Restore damage_history(const AreaName &, AreaProbe &area) {
    SegmentProbe probe = area.segment(slot_behind(area, 2));
    core::put(probe.map().frame(core::first_place).successor, UINT32_MAX);
    return nullptr;
}
Restore damage_header(const AreaName &, AreaProbe &area) {
    core::put(area.segment(slot_behind(area, 1)).map().header().slot, 9u);
    return nullptr;
}
Restore damage_current_header(const AreaName &, AreaProbe &area) {
    core::put(area.current_segment().map().header().magic, uint64_t(1));
    return nullptr;
}
Restore hide_segment(const AreaName &name, AreaProbe &area) {
    return std::make_shared<Hidden>(name, object_of(area, slot_behind(area, 1)));
}
Restore hide_bell(const AreaName &name, AreaProbe &) { return std::make_shared<Hidden>(name, name.text() + "@bell"); }
Restore hide_lock(const AreaName &name, AreaProbe &) { return std::make_shared<Hidden>(name, name.text() + "@lock"); }

struct Damage {
    const char *name;
    Restore (*make)(const AreaName &, AreaProbe &);
};
void PrintTo(const Damage &damage, std::ostream *out) { *out << damage.name; }

class CheckOfDamage : public testing::TestWithParam<Damage> {
protected:
    // What may come of a fault: the damage is found anyway, or the system's error is said.
    void check_with(Stage &stage, const Fault &fault) {
        SCOPED_TRACE(fault.text());
        stage.faults.reset_counts();
        auto fail = fault.lasts ? &Faults::fail_from : &Faults::fail;
        (stage.faults.*fail)(fault.site, fault.call, fault.error);
        int error = speculo_area_check(stage.name.c_str(), nullptr, nullptr);
        stage.faults.heal();
        bool may_give_up = fault.lasts || fault.error == ENODATA; // something is cut short meanwhile
        EXPECT_TRUE(error == -EBADMSG || error == -fault.error || (may_give_up && error == -EAGAIN)) << speculo_strerror(error);
    }
};

TEST_P(CheckOfDamage, never_says_that_all_is_sound) {
    Stage stage(ordinary);
    have_history(stage);
    AreaProbe area(stage.name);
    Restore restore = GetParam().make(stage.name, area);
    size_t descriptors = stage.faults.descriptors(), mappings = stage.faults.mappings(), allocations = stage.faults.allocations();
    stage.faults.reset_counts();
    EXPECT_EQ(speculo_area_check(stage.name.c_str(), nullptr, nullptr), -EBADMSG);
    Calls calls;
    for (size_t i = 0; i < site_count; ++i) { calls[i] = stage.faults.calls(site_at(i)); }
    for (size_t i = 0; i < site_count; ++i) {
        for (uint64_t call = 1; call <= calls[i]; ++call) {
            for (int error : site_errors(site_at(i))) {
                for (bool lasts : {false, true}) { check_with(stage, Fault{site_at(i), call, error, lasts}); }
            }
        }
    }
    EXPECT_EQ(stage.faults.descriptors(), descriptors);
    EXPECT_EQ(stage.faults.mappings(), mappings);
    EXPECT_EQ(stage.faults.allocations(), allocations);
}

INSTANTIATE_TEST_SUITE_P(Everywhere, CheckOfDamage,
                         testing::Values(Damage{"control_page", damage_control_page}, Damage{"current", damage_current},
                                         Damage{"frame", damage_frame}, Damage{"generation", damage_generation},
                                         Damage{"history", damage_history}, Damage{"header", damage_header},
                                         Damage{"current_header", damage_current_header}, Damage{"segment_missing", hide_segment},
                                         Damage{"bell_missing", hide_bell}, Damage{"lock_missing", hide_lock}),
                         [](const testing::TestParamInfo<Damage> &info) { return std::string(info.param.name); });

} // namespace
