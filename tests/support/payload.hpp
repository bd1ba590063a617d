// SPDX-License-Identifier: LGPL-2.1-or-later
// Payloads that tell when a byte of them is torn, stale, or another chunk's: all of it follows from what the head says, and the
// head carries the chunk's id.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace speculo::test {

struct PayloadHead {
    uint64_t id;    // of the chunk
    uint64_t stamp; // whatever tells writers apart that give an id again, because it was never committed
    uint64_t value; // the test's own
    uint64_t sum;   // of all that and the size
};
inline constexpr size_t least_payload = sizeof(PayloadHead);

inline uint64_t mix(uint64_t value) {
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9;
    value = (value ^ value >> 27) * 0x94d049bb133111eb;
    return value ^ value >> 31;
}

inline uint64_t payload_sum(const PayloadHead &head, size_t size) {
    return mix(head.id + mix(head.stamp + mix(head.value + mix(size))));
}

// The bytes behind the head.
class PayloadBody {
public:
    explicit PayloadBody(const PayloadHead &head) : word_(head.sum | 1) {}
    // The next 8 bytes.
    uint64_t next() { return word_ = word_ * 0x9e3779b97f4a7c15 + 0x632be59bd9b4e019; }

private:
    uint64_t word_;
};

// Size at least least_payload.
inline void fill_payload(void *data, size_t size, uint64_t id, uint64_t stamp, uint64_t value) {
    PayloadHead head{id, stamp, value, 0};
    head.sum = payload_sum(head, size);
    std::memcpy(data, &head, sizeof head);
    auto *to = static_cast<unsigned char *>(data) + sizeof head;
    PayloadBody body(head);
    for (size_t left = size - sizeof head; left > 0;) {
        uint64_t word = body.next();
        size_t count = left < sizeof word ? left : sizeof word;
        std::memcpy(to, &word, count);
        to += count;
        left -= count;
    }
}

// Whether every byte is as the chunk of that id was filled. Gives the head.
inline bool check_payload(const void *data, size_t size, uint64_t id, PayloadHead *ret_head = nullptr) {
    PayloadHead head;
    if (size < sizeof head) { return false; }
    std::memcpy(&head, data, sizeof head);
    if (head.id != id || head.sum != payload_sum(head, size)) { return false; }
    const auto *from = static_cast<const unsigned char *>(data) + sizeof head;
    PayloadBody body(head);
    for (size_t left = size - sizeof head; left > 0;) {
        uint64_t word = body.next();
        size_t count = left < sizeof word ? left : sizeof word;
        if (std::memcmp(from, &word, count) != 0) { return false; }
        from += count;
        left -= count;
    }
    if (ret_head) { *ret_head = head; }
    return true;
}

} // namespace speculo::test
