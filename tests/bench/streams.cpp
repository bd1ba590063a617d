// SPDX-License-Identifier: LGPL-2.1-or-later
// Messages from one process to another: an area, beside the two limits.
//
// usage: bench-streams log|ring|wide-ring|area stream|trip|sides|alone|crowd [NAME=NUMBER | WORD]...
#include "area.hpp"
#include "bare.hpp"

int main(int argc, char **argv) {
    bench::check(argc > 2, "usage: bench-streams log|ring|wide-ring|area WHAT [NAME=NUMBER | WORD]...");
    bench::Plan plan(argc - 1, argv + 1);
    std::string transport = argv[1];
    if (transport == "log") {
        bench::measure<bench::Log>(plan);
    } else if (transport == "ring") {
        bench::measure<bench::Ring>(plan);
    } else if (transport == "wide-ring") {
        bench::measure<bench::WideRing>(plan);
    } else if (transport == "area") {
        bench::measure<bench::Area>(plan);
    } else {
        bench::fail("no such transport");
    }
}
