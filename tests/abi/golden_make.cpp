// SPDX-License-Identifier: LGPL-2.1-or-later
// Makes golden areas, for a new version of the format: the others stay as they are.
//
// usage: golden_make FILE VERSION
#include <cstdio>

#include "golden.hpp"

namespace {

using namespace speculo;
using namespace speculo::test;

// Nothing depends on chance, nor on when and where the areas are made.
class Still {
public:
    Still() {
        faults_.set_boot_id({0x60, 0x1d, 0xe2});
        faults_.clock.freeze();
        faults_.clock.sleep(int64_t(1000 * ms) - int64_t(speculo_now())); // a second after boot
        os::operations.random = [](void *bytes, size_t size) {
            static unsigned char count = 0;
            for (size_t i = 0; i < size; ++i) { static_cast<unsigned char *>(bytes)[i] = ++count; }
            return 0;
        };
        // Only what is on a disk has its writer's mark that it was closed.
        os::operations.file_system = [](int, os::Medium *ret_medium) {
            *ret_medium = os::Medium::disk;
            return 0;
        };
    }

private:
    Faults faults_;
};

// `tear`: what the last writer dies of.
void make(std::ostream &out, const char *what, void (*tear)(speculo_area *)) {
    AreaName name;
    Handle writer = make_area(name, golden_capacity);
    write_history(writer);
    write_present(writer);
    if (tear) {
        tear(writer);
    } else {
        writer.close();
    }
    out << "area " << what << '\n';
    print(out, image_of(name));
}

} // namespace

int main(int argc, char **argv) {
    if (argc != 3) { return 2; }
    testing::InitGoogleTest();
    Still still;
    std::ofstream out(argv[1]);
    out << "# SPDX-License-Identifier: LGPL-2.1-or-later\n"
        << "# Areas as version " << argv[2] << " left them, with format " << core::format_version << ". Never to be changed.\n"
        << "# Each object with its size; then rows of it, but for those of zeros.\n";
    make(out, "closed", nullptr);
    make(out, "torn", tear_commit);
    make(out, "switched", tear_switch);
    out.close();
    return out ? 0 : 1;
}
