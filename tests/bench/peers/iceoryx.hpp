// SPDX-License-Identifier: LGPL-2.1-or-later
// iceoryx: chunks of a pool that RouDi, its daemon, has laid out; queues of places in it. scripts/bench runs the daemon.
#pragma once

#include <optional>

#include <iceoryx_posh/popo/untyped_publisher.hpp>
#include <iceoryx_posh/popo/untyped_subscriber.hpp>
#include <iceoryx_posh/runtime/posh_runtime.hpp>

#include "../two_processes.hpp"

namespace bench {

// Once in each process. The name tells RouDi processes apart.
inline void join_roudi(const char *role) {
    static bool has_joined = false;
    if (has_joined) { return; }
    has_joined = true;
    std::string name = std::string("bench-") + role + "-" + std::to_string(getpid());
    iox::runtime::PoshRuntime::initRuntime(iox::RuntimeName_t(iox::cxx::TruncateToCapacity, name));
}

inline iox::capro::ServiceDescription iceoryx_service(int channel, pid_t run) {
    auto text = [](int number) { return iox::capro::IdString_t(iox::cxx::TruncateToCapacity, std::to_string(number)); };
    return {"bench", text(int(run)), text(channel)};
}

} // namespace bench
