// SPDX-License-Identifier: LGPL-2.1-or-later
// The key table of a segment: search, claim, versions and their links.
#include "keytable.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <map>
#include <random>
#include <set>

#include "bare_segment.hpp"

namespace {

using namespace speculo::test;
using namespace speculo::core;

Key key_of(const std::string &text, uint32_t hash) {
    return {reinterpret_cast<const std::byte *>(text.data()), uint32_t(text.size()), hash};
}

// It is inlined wherever it is called: here once, for what is counted of it to be counted of all tests.
bool find_at_once(const SegmentMap &map, uint32_t end, const Key &key, Frame &frame) {
    return key_find_at_once(map, end, key, frame);
}

class KeyTable : public testing::Test {
protected:
    static constexpr uint32_t slots = 16;

    // A committed frame with that key; its place.
    uint32_t store(const std::string &key, uint32_t link = 0) {
        uint32_t place = end;
        FrameSpec spec;
        spec.id = ++id;
        spec.key = key;
        spec.link = link;
        end = store_frame(map, place, spec);
        return place;
    }
    KeySearch search(const std::string &key, uint32_t hash) { return key_search(map, end, key_of(key, hash)); }
    // A new key, as the writer commits it.
    KeySlot *add(const std::string &key, uint32_t hash) {
        KeySearch found = search(key, hash);
        EXPECT_FALSE(found.found) << key;
        if (!found.slot) { return nullptr; }
        key_claim(*found.slot, hash, store(key));
        return found.slot;
    }
    size_t index_of(const KeySlot *slot) const { return size_t(slot - map.table()); }

    BareSegment segment{256 << 10, slots};
    SegmentMap &map = segment.map();
    uint32_t end = first_place;
    uint64_t id = 0;
};

TEST_F(KeyTable, begins_empty) {
    KeySearch found = search("k", 5);
    EXPECT_FALSE(found.found);
    EXPECT_EQ(index_of(found.slot), 5u); // where it would go
}

TEST_F(KeyTable, finds_what_was_claimed) {
    KeySlot *slot = add("k", 5);
    KeySearch found = search("k", 5);
    EXPECT_TRUE(found.found);
    EXPECT_EQ(found.slot, slot);
    EXPECT_EQ(key_version_at(map, end, *slot), 1);
    EXPECT_FALSE(search("K", 5).found);
    EXPECT_FALSE(search("kk", 5).found);
    EXPECT_FALSE(search("k", 5 + slots).found); // the same slot, another hash
}

TEST_F(KeyTable, keys_are_bytes) {
    const std::string zeros("a\0b", 3), longer("a\0c", 3), largest(255, '\xff');
    add(zeros, 1);
    add(largest, 1);
    EXPECT_TRUE(search(zeros, 1).found);
    EXPECT_FALSE(search(longer, 1).found);
    EXPECT_FALSE(search(zeros.substr(0, 1), 1).found);
    EXPECT_TRUE(search(largest, 1).found);
    EXPECT_FALSE(search(largest.substr(1), 1).found);
}

TEST_F(KeyTable, keys_of_one_hash_are_told_apart) {
    std::map<std::string, KeySlot *> all;
    for (int i = 0; i < 10; ++i) {
        std::string key = "key" + std::to_string(i);
        all[key] = add(key, 14); // they go on from the beginning
    }
    std::set<KeySlot *> different;
    for (const auto &[key, slot] : all) {
        EXPECT_EQ(search(key, 14).slot, slot);
        EXPECT_TRUE(search(key, 14).found);
        different.insert(slot);
    }
    EXPECT_EQ(different.size(), 10u);
    EXPECT_EQ(index_of(all["key0"]), 14u);
    EXPECT_EQ(index_of(all["key2"]), 0u);
}

TEST(Keys, are_compared_and_copied_at_every_byte) {
    for (size_t size = 1; size <= 40; ++size) {
        std::string key(size, '\0');
        for (size_t i = 0; i < size; ++i) { key[i] = char('a' + i); }
        std::string copy(size + 1, '.');
        copy_key(reinterpret_cast<std::byte *>(copy.data()), key.data(), size);
        EXPECT_EQ(copy, key + '.');
        EXPECT_TRUE(equal_keys(copy.data(), key.data(), size));
        for (size_t i = 0; i < size; ++i) {
            std::string other = key;
            other[i] = char(other[i] ^ 0x40);
            EXPECT_FALSE(equal_keys(other.data(), key.data(), size)) << i << " of " << size;
        }
    }
    EXPECT_TRUE(equal_keys("a", "b", 0)); // as a damaged frame may have it
}

TEST_F(KeyTable, a_full_one_says_so_and_still_finds) {
    for (uint32_t i = 0; i < slots; ++i) { ASSERT_NE(add("key" + std::to_string(i), i * 7), nullptr); }
    for (uint32_t i = 0; i < slots; ++i) { EXPECT_TRUE(search("key" + std::to_string(i), i * 7).found); }
    KeySearch other = search("other", 3);
    EXPECT_FALSE(other.found);
    EXPECT_EQ(other.slot, nullptr);
    EXPECT_EQ(key_find(map, end, key_of("other", 3)), 0);
}

TEST_F(KeyTable, what_lies_beyond_the_end_is_not_there_yet) {
    uint32_t before = end;
    KeySlot *slot = add("k", 5);
    KeySearch found = key_search(map, before, key_of("k", 5));
    EXPECT_FALSE(found.found);
    EXPECT_EQ(found.slot, slot);
    KeySlot *behind = add("behind", 5);
    found = key_search(map, before, key_of("behind", 5)); // nothing behind an empty slot is older
    EXPECT_FALSE(found.found);
    EXPECT_NE(found.slot, behind);
}

TEST_F(KeyTable, a_claim_names_one_version) {
    KeySlot *slot = add("k", 5);
    EXPECT_EQ(peek(slot->hash), 5u);
    EXPECT_EQ(peek(slot->frame), 1u);
    EXPECT_EQ(newest_version(peek(slot->versions)), 1u);
    EXPECT_EQ(previous_version(peek(slot->versions)), 0u);
}

// ---- versions ---------------------------------------------------------------------------------------------------------------

TEST_F(KeyTable, each_end_has_its_version) {
    std::vector<uint32_t> ends, places;
    KeySlot *slot = add("k", 5);
    ends.push_back(end);
    places.push_back(1);
    for (int i = 0; i < 30; ++i) {
        store("unrelated");
        uint32_t last = places.back();
        places.push_back(store("k", last));
        ends.push_back(end);
        publish_versions(slot->versions, pack_versions(places.back(), last));
    }
    for (size_t i = 0; i < ends.size(); ++i) {
        EXPECT_EQ(key_version_at(map, ends[i], *slot), places[i]) << i;
        EXPECT_EQ(key_version_at(map, ends[i] + 1, *slot), places[i]) << i;
    }
}

TEST_F(KeyTable, versions_of_one_batch_are_passed_by_whoever_does_not_see_it) {
    KeySlot *slot = add("k", 5);
    uint32_t before = end, a = store("k", 1), b = store("k", 1); // all links of a batch lead out of it
    publish_versions(slot->versions, pack_versions(b, 1));
    EXPECT_EQ(key_version_at(map, end, *slot), b);
    EXPECT_EQ(key_version_at(map, before, *slot), 1);
    EXPECT_NE(a, b);
}

TEST_F(KeyTable, a_key_that_is_new_since_has_no_version) {
    KeySlot *slot = add("k", 5);
    EXPECT_EQ(key_version_at(map, first_place, *slot), 0);
}

TEST_F(KeyTable, P10_damaged_links_end) {
    KeySlot *slot = add("k", 5);
    uint32_t before = end, place = store("k", 1), last = store("k", place);
    auto version_with = [&](uint32_t newest, uint32_t previous) {
        publish_versions(slot->versions, pack_versions(newest, previous));
        return key_version_at(map, before, *slot);
    };
    auto set_link = [&](uint32_t of, uint32_t link) { put_field(map.bytes(of), frame_shape(frame_key, 1, false).link, link); };
    EXPECT_EQ(version_with(last, place), 1);
    EXPECT_EQ(version_with(last, map.readable), -EBADMSG);
    EXPECT_EQ(version_with(UINT32_MAX, UINT32_MAX), -EBADMSG);
    set_link(place, place); // round and round
    EXPECT_EQ(version_with(last, place), -EBADMSG);
    set_link(place, last); // forwards
    EXPECT_EQ(version_with(last, last), -EBADMSG);
    set_link(place, 1);
    put(map.frame(place).commit, 0u);
    EXPECT_EQ(version_with(last, place), -EBADMSG);
    put(map.frame(place).commit, 1u);
    put(map.frame(place).id_flags, pack_id(7, 0)); // no key at all
    EXPECT_EQ(version_with(last, place), -EBADMSG);
}

TEST_F(KeyTable, P10_any_table_gives_an_answer) {
    std::mt19937_64 random(8);
    while (end + 20 < map.readable) { store("key" + std::to_string(id % 7)); }
    int found = 0, missed = 0, at_once = 0;
    for (int round = 0; round < 100000; ++round) {
        KeySlot &changed = map.table()[random() % slots];
        put(changed.frame, random() % 9 ? uint32_t(random() % (end + 10)) : uint32_t(random()));
        put(changed.hash, uint32_t(random() % 3));
        put(changed.versions, random() % 4 ? (random() % end) << 32 | random() % (2 * end) : random());
        std::string key = "key" + std::to_string(random() % 8);
        uint32_t at_end = uint32_t(random() % (end + 1));
        KeySearch result = key_search(map, at_end, key_of(key, uint32_t(random() % 3)));
        if (result.slot) { ASSERT_LT(index_of(result.slot), slots); }
        ++(result.found ? found : missed);
        Frame frame;
        if (find_at_once(map, at_end, key_of(key, uint32_t(random() % 3)), frame)) {
            ASSERT_LE(frame.end(), at_end);
            ASSERT_EQ(std::string(reinterpret_cast<const char *>(frame.key), frame.key_size), key);
            ++at_once;
        }
        if (result.found) {
            int64_t place = key_version_at(map, at_end, *result.slot);
            ASSERT_TRUE(place == -EBADMSG || (place >= 0 && place < at_end)) << place;
        }
    }
    EXPECT_GT(found, 100);
    EXPECT_GT(missed, 100);
    EXPECT_GT(at_once, 100);
}

// ---- at once ----------------------------------------------------------------------------------------------------------------

TEST_F(KeyTable, finds_at_once_what_is_newest) {
    std::mt19937_64 random(9);
    std::map<std::string, uint32_t> newest;
    std::vector<std::pair<uint32_t, std::map<std::string, uint32_t>>> ends;
    for (int i = 0; i < 300; ++i) {
        std::string key(1 + random() % (i < 150 ? 9 : 2), char('a' + random() % 3));
        uint32_t hash = uint32_t(key.size() % 4); // many keys have one slot, and some of them one hash
        KeySearch place = search(key, hash);
        if (!place.slot) { continue; }
        uint32_t before = place.found ? newest_version(peek(place.slot->versions)) : 0;
        if (place.found) {
            publish_versions(place.slot->versions, pack_versions(store(key, before), before));
            newest[key] = newest_version(peek(place.slot->versions));
        } else {
            key_claim(*place.slot, hash, newest[key] = store(key));
        }
        ends.push_back({end, newest});
    }
    int at_once = 0, not_at_once = 0;
    for (const auto &[at_end, versions] : ends) {
        for (const auto &[key, place] : newest) {
            Frame frame;
            bool found = find_at_once(map, at_end, key_of(key, uint32_t(key.size() % 4)), frame);
            ++(found ? at_once : not_at_once);
            if (!found) { continue; }
            ASSERT_EQ(versions.count(key), 1u) << key;
            EXPECT_EQ(frame.place, versions.at(key)) << key;
            EXPECT_EQ(std::string(reinterpret_cast<const char *>(frame.key), frame.key_size), key);
        }
    }
    EXPECT_GT(at_once, 100);
    EXPECT_GT(not_at_once, 100);
}

// An emptied table has no frames, but hashes and versions are as they were.
TEST_F(KeyTable, finds_nothing_at_once_in_an_emptied_slot) {
    KeySlot *slot = add("k", 5);
    Frame frame;
    EXPECT_TRUE(find_at_once(map, end, key_of("k", 5), frame));
    put(slot->frame, 0u);
    EXPECT_FALSE(find_at_once(map, end, key_of("k", 5), frame));
    put(slot->frame, end); // and claimed anew
    EXPECT_FALSE(find_at_once(map, end, key_of("k", 5), frame));
}

TEST_F(KeyTable, finds_no_removal_at_once) {
    KeySlot *slot = add("k", 5);
    uint32_t place = newest_version(peek(slot->versions));
    Frame frame;
    EXPECT_TRUE(find_at_once(map, end, key_of("k", 5), frame));
    put(map.frame(place).id_flags, pack_id(id, frame_key | frame_removed));
    EXPECT_FALSE(find_at_once(map, end, key_of("k", 5), frame));
    put(map.frame(place).id_flags, pack_id(0, frame_key));
    EXPECT_FALSE(find_at_once(map, end, key_of("k", 5), frame));
}

TEST_F(KeyTable, P10_looks_once_through_a_full_table_for_what_is_found_at_once) {
    for (uint32_t i = 0; i < slots; ++i) { key_claim(map.table()[i], 7, first_place); }
    Frame frame;
    EXPECT_FALSE(find_at_once(map, end, key_of("k", 5), frame));
}

// ---- hashes and sizes -------------------------------------------------------------------------------------------------------

TEST(KeyHash, is_frozen) { // readers and writers of all versions of this format agree
    auto hash = [](uint64_t seed, const std::string &key) { return key_hash(seed, key.data(), key.size()); };
    EXPECT_EQ(hash(0, "aaaaaaaa"), 0x82c684b9u);
    EXPECT_EQ(hash(1, "aaaaaaaa"), 0xf8fb69eau);
    EXPECT_EQ(hash(0x0123456789abcdef, std::string(8, 'a') + std::string(8, 'b')), 0xe129acd4u);
    EXPECT_EQ(hash(0, std::string(248, 'x')), 0x33acf3d1u);
    bool is_little_endian = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__; // the format is native
    EXPECT_EQ(hash(42, "temperature"), is_little_endian ? 0xe47632b0u : 0xb7c33637u);
}

TEST(KeyHash, depends_on_every_byte_on_the_size_and_on_the_area) {
    for (size_t size = 1; size <= 255; ++size) {
        std::string key(size, 'k');
        uint32_t hash = key_hash(1, key.data(), size);
        EXPECT_NE(hash, key_hash(2, key.data(), size)) << size;
        EXPECT_NE(hash, key_hash(1, key.data(), size - 1)) << size;
        for (size_t at = 0; at < size; ++at) {
            key[at] ^= 1;
            ASSERT_NE(hash, key_hash(1, key.data(), size)) << at << " of " << size;
            key[at] ^= 1;
        }
    }
    std::string zeros(10, '\0');
    std::set<uint32_t> hashes;
    for (size_t size = 1; size <= 10; ++size) { hashes.insert(key_hash(1, zeros.data(), size)); }
    EXPECT_EQ(hashes.size(), 10u);
}

TEST(KeyHash, spreads_similar_keys) {
    constexpr int keys = 4096;
    std::vector<int> buckets(keys);
    int longest = 0;
    for (int i = 0; i < keys; ++i) {
        std::string key = "sensor/" + std::to_string(i);
        longest = std::max(longest, ++buckets[key_hash(42, key.data(), key.size()) % keys]);
    }
    EXPECT_LE(longest, 9); // a random function has 6 or 7
}

TEST(KeyTableSize, has_twice_as_many_slots_as_keys_and_one_for_each_kib) {
    for (uint64_t capacity : {uint64_t(4096), uint64_t(16) << 10, uint64_t(1) << 20, uint64_t(3) << 20, capacity_limit}) {
        for (uint64_t keys : {0, 1, 8, 9, 100, 1000000}) {
            uint64_t slots = key_table_slots(capacity, keys, 0);
            EXPECT_GE(slots, 2 * keys);
            EXPECT_GE(slots, capacity / 1024);
            EXPECT_EQ(slots & (slots - 1), 0u);
            EXPECT_TRUE(slots == 16 || slots / 2 < 2 * keys || slots / 2 < capacity / 1024) << "larger than it need be";
            Geometry geometry;
            EXPECT_TRUE(make_geometry(capacity, slots, geometry));
            EXPECT_FALSE(key_table_is_full(slots, keys));
        }
    }
}

TEST(KeyTableSize, stays_unless_it_is_far_too_large) {
    EXPECT_EQ(key_table_slots(64 << 10, 0, 64), 64u);
    EXPECT_EQ(key_table_slots(64 << 10, 0, 512), 512u);
    EXPECT_EQ(key_table_slots(64 << 10, 0, 1024), 64u);
    EXPECT_EQ(key_table_slots(64 << 10, 0, 32), 64u); // never smaller than what is needed
    EXPECT_EQ(key_table_slots(64 << 10, 500, 64), 1024u);
}

TEST(KeyTableSize, is_full_at_three_quarters) {
    EXPECT_FALSE(key_table_is_full(16, 0));
    EXPECT_FALSE(key_table_is_full(16, 12));
    EXPECT_TRUE(key_table_is_full(16, 13));
    EXPECT_FALSE(key_table_is_full(1024, 768));
    EXPECT_TRUE(key_table_is_full(1024, 769));
}

} // namespace
