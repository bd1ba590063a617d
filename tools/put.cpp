// SPDX-License-Identifier: LGPL-2.1-or-later
// speculo put: an input becomes chunks.
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

#include "feed.hpp"
#include "options.hpp"
#include "output.hpp"
#include "terminal.hpp"
#include "units.hpp"

namespace speculo::tool {

namespace {

constexpr uint64_t default_block = 64 << 10, default_capacity = 16 << 20;
constexpr uint64_t default_growth = 1 << 30; // for what may be of any size

struct Options {
    std::string name, file = "-", key;
    Making making;
    uint64_t ttl_ns = 0, tag = 0, block = 0, frame = 0;
    bool by_line = false;
};

// The file, or standard input.
class Input {
public:
    explicit Input(const std::string &file) : name_(file == "-" ? "standard input" : file) {
        fd_ = file == "-" ? STDIN_FILENO : ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
        if (fd_ < 0) { throw system_failure(file, errno); }
        struct stat status = {};
        if (::fstat(fd_, &status) < 0) { throw system_failure(name_, errno); }
        if (S_ISREG(status.st_mode)) { total_ = uint64_t(status.st_size); }
        if (S_ISDIR(status.st_mode)) { throw Failure(Status::misused, name_ + " is a directory"); }
        if ((::fcntl(fd_, F_GETFL) & O_ACCMODE) == O_WRONLY) {
            throw Failure(Status::failed, name_ + " is closed: nothing to put");
        }
    }
    ~Input() {
        if (fd_ != STDIN_FILENO) { ::close(fd_); }
    }
    Input(const Input &) = delete;
    Input &operator=(const Input &) = delete;

    uint64_t total() const { return total_; } // 0: not known
    bool is_ready() const { return has_input(fd_); }

    // Waits for some bytes; 0: the end, or asked to stop. While nothing comes, `idle` is called every `idle_ns` (0: never).
    template <class Idle> size_t read(char *to, size_t size, uint64_t idle_ns, Idle idle) {
        for (;;) {
            if (!wait_for_input(fd_, idle_ns)) {
                if (stopped()) { return 0; }
                idle();
                continue;
            }
            ssize_t count = ::read(fd_, to, size);
            if (count >= 0) { return size_t(count); }
            if (errno != EINTR && errno != EAGAIN) { throw system_failure(name_, errno); }
        }
    }

private:
    std::string name_;
    int fd_;
    uint64_t total_ = 0;
};

// What an area is made like that is not there yet.
Making fresh(const Options &options) {
    Making making = options.making;
    uint64_t chunk = std::max(options.block, options.frame);
    bool is_any_size = options.by_line || (!options.key.empty() && chunk == 0);
    if (making.capacity == 0) { making.capacity = std::max(default_capacity, chunk < UINT64_MAX / 8 ? chunk * 8 : chunk); }
    if (making.max == 0) { making.max = std::max(making.capacity, is_any_size ? default_growth : 0); }
    return making;
}

// From the input to the area.
class Putting {
public:
    explicit Putting(const Options &options)
        : options_(options), input_(options.file), feed_(options.name, options.making, fresh(options)) {
        if (!options.key.empty()) { chunk_.key(options.key); }
        chunk_.tag(uint32_t(options.tag));
        if (options.ttl_ns != 0 && feed_.is_lossless()) {
            feed_.retain(options.ttl_ns);
            chunk_.transient();
        } else if (options.ttl_ns != 0) {
            chunk_.ttl(std::chrono::nanoseconds(int64_t(std::min<uint64_t>(options.ttl_ns, INT64_MAX))));
        } else if (options.key.empty()) {
            chunk_.transient(); // makes way for what comes later
        }
    }

    void run() {
        try {
            if (options_.by_line) {
                lines();
            } else if (options_.frame > 0) {
                frames(options_.frame);
            } else if (!options_.key.empty() && options_.block == 0) {
                whole();
            } else {
                blocks(options_.block > 0 ? options_.block : default_block);
            }
        } catch (const Stopped &) {
            progress_.clear();
            note("stopped while there was no room: " + format_size(taken_ - done_) + " of the input were not put");
        }
    }

    void summarise() {
        progress_.clear();
        std::string text = format_count(feed_.chunks()) + " chunks, " + transfer_text(feed_.bytes(), 0, begin_);
        if (is_terminal(STDERR_FILENO)) { note(text); }
    }

private:
    // One chunk; `taken` bytes of the input are done with.
    void put(const char *bytes, size_t size, size_t taken) {
        speculo::buffer room = feed_.room(size, chunk_);
        if (size > 0) { std::memcpy(room.data(), bytes, size); }
        feed_.commit();
        done_ += taken;
        if (progress_.is_due()) { progress_.show(transfer_text(done_, input_.total(), begin_)); }
    }

    size_t read(char *to, size_t size) {
        size_t count = input_.read(to, size, feed_.is_lossless() ? options_.ttl_ns : 0, [&] { feed_.tick(); });
        taken_ += count;
        return count;
    }

    void lines() {
        std::vector<char> bytes(2 * default_block);
        size_t size = 0, scanned = 0; // up to `scanned` there is no newline
        while (size_t count = read(bytes.data() + size, bytes.size() - size)) {
            size += count;
            size_t start = 0;
            while (const void *found = std::memchr(bytes.data() + scanned, '\n', size - scanned)) {
                auto end = size_t(static_cast<const char *>(found) - bytes.data());
                put(bytes.data() + start, end - start, end + 1 - start);
                start = scanned = end + 1;
            }
            std::memmove(bytes.data(), bytes.data() + start, size - start);
            size -= start;
            scanned = size;
            if (bytes.size() - size < default_block) { bytes.resize(bytes.size() * 2); }
        }
        if (size > 0) { put(bytes.data(), size, size); } // a last line without newline
    }

    void frames(size_t size) {
        std::vector<char> bytes(size);
        size_t filled = 0;
        while (size_t count = read(bytes.data() + filled, size - filled)) {
            filled += count;
            if (filled < size) { continue; }
            put(bytes.data(), size, size);
            filled = 0;
        }
        if (filled == 0) { return; }
        put(bytes.data(), filled, filled);
        progress_.clear();
        note("the input ended within a frame: the last chunk has " + std::to_string(filled) + " of " + std::to_string(size) +
             " bytes");
    }

    // What is there at once shares a chunk.
    void blocks(size_t most) {
        std::vector<char> bytes(most);
        while (size_t filled = read(bytes.data(), most)) {
            while (filled < most && input_.is_ready()) {
                size_t count = read(bytes.data() + filled, most - filled);
                if (count == 0) { break; }
                filled += count;
            }
            put(bytes.data(), filled, filled);
        }
    }

    // The input is one value.
    void whole() {
        std::vector<char> bytes(default_block);
        size_t filled = 0;
        while (size_t count = read(bytes.data() + filled, bytes.size() - filled)) {
            filled += count;
            if (filled == bytes.size()) { bytes.resize(bytes.size() * 2); }
        }
        if (!stopped()) { put(bytes.data(), filled, filled); } // half a value is none
    }

    const Options &options_;
    Input input_;
    Feed feed_;
    chunk_options chunk_;
    Progress progress_;
    uint64_t begin_ = monotonic_now();
    uint64_t taken_ = 0, done_ = 0; // of the input
};

Status run(const Options &options) {
    if (options.tag > UINT32_MAX) { throw Failure(Status::misused, "--tag: at most 4294967295"); }
    catch_signals();
    Putting putting(options);
    putting.run();
    putting.summarise();
    return Status::done;
}

} // namespace

void add_put(CLI::App &app, Run &ret_run) {
    auto options = std::make_shared<Options>();
    CLI::App *command = add_command(app, "put", "Share an input as chunks, for as long as it flows");
    add_name(command, options->name);
    add_text(command, "FILE", options->file, "Input; -, the default, is standard input");
    exclude_each_other({
        add_flag(command, "--lines", options->by_line, "A chunk for each line, without its newline"),
        add_size(command, "--chunk-size", options->block, "Chunks of at most SIZE bytes, as they come"),
        add_size(command, "--frames", options->frame, "Chunks of exactly SIZE bytes"),
    });
    auto take_key = [options](const std::string &given) {
        options->key = given;
        return !given.empty() && given.size() <= 255;
    };
    add_taken(command, "--key", take_key, "Each chunk replaces the last one with this key", "KEY", "a key of 1 to 255 bytes");
    add_duration(command, "--ttl", options->ttl_ns, "How long a chunk stays");
    add_number(command, "--tag", options->tag, "Type mark of the chunks");
    add_making(command, options->making);
    on_parse(command, ret_run, options, run);
}

} // namespace speculo::tool
