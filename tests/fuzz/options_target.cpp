// SPDX-License-Identifier: LGPL-2.1-or-later
// Names, flags and options as anybody may pass them: exactly what the header allows is taken, and what is refused changes nothing.
#include <cerrno>
#include <cstring>
#include <memory>

#include <speculo/speculo.h>

#include "system.hpp"
#include "target.hpp"

using namespace speculo::fuzz;

namespace {

class Bytes {
public:
    Bytes(const uint8_t *data, size_t size) : data_(data), end_(data + size) {}
    template <class T> T take() {
        T value{};
        take_into(&value, sizeof value);
        return value;
    }
    void take_into(void *to, size_t size) {
        size_t there = size_t(end_ - data_);
        std::memcpy(to, data_, size < there ? size : there);
        data_ += size < there ? size : there;
    }
    std::string text() { // up to the next 0
        std::string text;
        while (data_ < end_ && *data_ != 0) { text += char(*data_++); }
        if (data_ < end_) { ++data_; }
        return text;
    }

private:
    const uint8_t *data_, *end_;
};

// A struct of the caller's, exactly as large as it says, so that one byte too many is noticed.
template <class T> class Passed {
public:
    Passed(Bytes &bytes, bool is_whole) {
        uint16_t more = bytes.take<uint16_t>();
        size_ = is_whole ? sizeof(T) : more % 5000;
        size_t room = size_ < sizeof(size_t) ? sizeof(size_t) : size_;
        memory_ = std::make_unique<unsigned char[]>(room);
        bytes.take_into(memory_.get(), room < sizeof(T) + 16 ? room : sizeof(T) + 16);
        std::memcpy(memory_.get(), &size_, sizeof size_);
    }
    T *get() { return reinterpret_cast<T *>(memory_.get()); }
    size_t size() const { return size_; }
    bool has_sound_size() const {
        bool is_clear = true;
        for (size_t i = sizeof(T); i < size_; ++i) { is_clear &= memory_[i] == 0; }
        return size_ >= sizeof(T) && size_ <= 4096 && is_clear;
    }

private:
    size_t size_;
    std::unique_ptr<unsigned char[]> memory_;
};

bool is_name(const std::string &name) {
    size_t slash = name.rfind('/');
    std::string last = slash == std::string::npos ? name : name.substr(slash + 1);
    bool is_relative = slash != std::string::npos && name[0] != '/';
    if (is_relative || last.empty() || last.size() > 200 || last[0] == '.') { return false; }
    const char *letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    bool is_long = slash != std::string::npos && slash > 4095; // the directory's part
    return last.find_first_not_of(letters) == std::string::npos && !is_long;
}

bool are_flags(uint32_t flags) {
    switch (flags) {
    case SPECULO_OPEN_READ:
    case SPECULO_OPEN_AT_END:
    case SPECULO_OPEN_NO_CURSOR:
    case SPECULO_OPEN_UNTRUSTED:
    case SPECULO_OPEN_UNTRUSTED | SPECULO_OPEN_AT_END:
    case SPECULO_OPEN_UNTRUSTED | SPECULO_OPEN_NO_CURSOR:
    case SPECULO_OPEN_WRITE:
    case SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE:
    case SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE | SPECULO_OPEN_EXCLUSIVE: return true;
    default: return false;
    }
}

bool are_options(const speculo_area_options &options, uint32_t flags) {
    const uint64_t most = uint64_t(63) << 30;
    for (uint64_t word : options.reserved) {
        if (word) { return false; }
    }
    if (options.reserved32) { return false; }
    if ((flags & SPECULO_OPEN_WRITE) == 0) {
        bool has_writers = options.capacity || options.mode || options.compact_percent || options.segments ||
                           options.max_capacity > (flags & SPECULO_OPEN_UNTRUSTED ? most : 0);
        bool trusts = options.flags == SPECULO_AREA_TRUST_UID;
        return !has_writers && (options.flags == 0 || trusts) && (trusts || options.trusted_uid == 0);
    }
    bool has_order = !options.capacity || !options.max_capacity || options.capacity <= options.max_capacity;
    return options.capacity <= most && options.max_capacity <= most && has_order && (options.mode & ~0644u) == 0 &&
           options.compact_percent <= 100 && (options.segments == 0 || (options.segments >= 2 && options.segments <= 16)) &&
           (options.flags & ~uint32_t(SPECULO_AREA_LOSSLESS)) == 0 && options.trusted_uid == 0;
}

bool are_options(const speculo_chunk_options &options) {
    for (uint64_t word : options.reserved) {
        if (word) { return false; }
    }
    bool has_key = options.key != nullptr;
    bool is_power = options.alignment == 0 || __builtin_popcount(options.alignment) == 1;
    return options.reserved32 == 0 && (options.flags & ~uint32_t(SPECULO_CHUNK_TRANSIENT)) == 0 && is_power &&
           options.alignment <= 4096 && has_key == (options.key_size != 0) && options.key_size <= 255;
}

bool is_misuse(int error) { return error == -EINVAL || error == -E2BIG; }

// Keeps what a run asks for within what the system of the test has.
void be_modest(speculo_area_options &options) {
    if (options.capacity <= uint64_t(63) << 30) { options.capacity %= 20000; }
    if (options.max_capacity <= uint64_t(63) << 30) { options.max_capacity = options.max_capacity % 20000; }
}

void use_name(const std::string &name, uint32_t flags) {
    speculo_area *area = nullptr;
    int error = speculo_area_open(name.c_str(), flags, nullptr, &area);
    bool is_right = is_name(name) && are_flags(flags);
    expect((error == -EINVAL) != is_right, "a name or flags", error);
    speculo_area_close(area);
    error = speculo_area_check(name.c_str(), nullptr, nullptr);
    expect((error == -EINVAL) != is_name(name), "a name to check", error);
    error = speculo_area_remove(name.c_str());
    expect((error == -EINVAL) != is_name(name), "a name to remove", error);
    expect(!is_name(name) || error == 0 || error == -ENOENT, "an area that cannot be removed", error);
}

void use_area_options(Bytes &bytes, uint32_t flags) {
    Passed<speculo_area_options> passed(bytes, flags & 0x80000000);
    if (passed.size() >= sizeof(speculo_area_options)) { be_modest(*passed.get()); }
    flags &= 0x3f;
    speculo_area *area = nullptr;
    int error = speculo_area_open("b", flags, passed.get(), &area);
    bool is_right = are_flags(flags) && passed.has_sound_size() && are_options(*passed.get(), flags);
    expect(is_misuse(error) != is_right, "options of an area", error);
    speculo_area_close(area);
}

void use_chunk_options(Bytes &bytes, bool is_whole) {
    speculo_area *writer = nullptr;
    int error = speculo_area_open("b", SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE, nullptr, &writer);
    if (error < 0) { return; }
    char key[256] = "some key";
    for (int i = 0; i < 4; ++i) {
        Passed<speculo_chunk_options> passed(bytes, is_whole);
        speculo_chunk_options &options = *passed.get();
        if (passed.size() >= sizeof options && options.key) { options.key = key; } // which is as long as any key may be
        void *data = nullptr;
        uint64_t id = 0;
        size_t size = bytes.take<uint16_t>();
        error = speculo_chunk_alloc(writer, size, &options, &data, &id);
        bool is_right = passed.has_sound_size() && are_options(options);
        expect(is_misuse(error) != is_right, "options of a chunk", error);
        expect((error == 0) == (data != nullptr) && (error == 0) == (id != 0), "an output and an error, or neither", error);
        if (error == 0) { std::memset(data, 1, size); }
        uint64_t alignment = is_right && options.alignment ? options.alignment : 1;
        expect(reinterpret_cast<uintptr_t>(data) % alignment == 0, "not aligned as asked for", int64_t(alignment));
    }
    speculo_commit(writer);
    Passed<speculo_area_info> info(bytes, is_whole);
    error = speculo_area_get_info(writer, info.get());
    bool is_right = info.has_sound_size() && (info.get()->flags & ~uint32_t(SPECULO_INFO_QUICK)) == 0;
    expect(is_misuse(error) != is_right, "an info to be filled", error);
    speculo_area_close(writer);
}

void use_key(Bytes &bytes) {
    speculo_area *reader = nullptr;
    if (speculo_area_open("b", SPECULO_OPEN_READ, nullptr, &reader) < 0) { return; }
    size_t size = bytes.take<uint16_t>() % 300;
    auto key = std::make_unique<char[]>(size ? size : 1);
    bytes.take_into(key.get(), size);
    speculo_chunk view{};
    int found = speculo_read_key(reader, key.get(), size, &view);
    expect((found == -EINVAL) == (size == 0 || size > 255), "the size of a key", found);
    speculo_chunk any{};
    bytes.take_into(&any, sizeof any); // a view that nobody has given
    any.opaque[3] = 0;                 // nor holds: that would be a pointer
    speculo_chunk_is_live(reader, &any);
    found = speculo_chunk_hold(reader, &any);
    expect(found == 0 || found == -EINVAL, "a hold of anything", found);
    speculo_chunk_release(&any);
    expect(speculo_strerror(bytes.take<int32_t>()) != nullptr, "an error without a text");
    speculo_area_close(reader);
}

} // namespace

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static bool has_begun = (system_begin(), true);
    (void)has_begun;
    Bytes bytes(data, size);
    uint32_t flags = bytes.take<uint32_t>();
    use_name(bytes.text(), flags & 0x3f);
    use_chunk_options(bytes, flags & 0x40000000);
    use_area_options(bytes, flags);
    use_key(bytes);
    speculo_area_remove("b");
    expect(system_capture().empty(), "an object was left behind");
    system_reset();
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned) { return LLVMFuzzerMutate(data, size, most); }
