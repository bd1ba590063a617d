// SPDX-License-Identifier: LGPL-2.1-or-later
// The process at the other end: opens an area, as the writer or with any number of readers, and does what the lines on its
// standard input say. Each gets one line in answer: "ok" and figures, or "error" and a negative errno, or "broken" and what was
// seen that must never be.
//
// usage: peer NAME
#include <cerrno>
#include <cinttypes>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <string>
#include <vector>

#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <speculo/speculo.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "payload.hpp"
#include "trust.hpp"

namespace {

using speculo::test::check_payload;
using speculo::test::fill_payload;
using speculo::test::PayloadHead;
using speculo::test::with_trust;

// What a chunk's tag says. The value of a lasting chunk is its number among those; of a keyed one its version.
enum Kind : uint32_t { lasting = 1, passing, keyed };

struct Reader {
    speculo_area *area = nullptr;
    uint64_t last_id = 0, chunks = 0, skipped = 0, last_lasting = 0, last_version = 0;
    speculo_chunk view{}; // what "look" took
};

const char *name;
speculo_area *writer;
std::deque<Reader> readers;
uint64_t written_lasting, written_versions, newest_id;
uint64_t stamp; // of this process's chunks

// ---- lines --------------------------------------------------------------------------------------------------------------------

__attribute__((format(printf, 1, 2))) void answer(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    std::vprintf(format, arguments);
    va_end(arguments);
    std::putchar('\n');
    std::fflush(stdout);
}

void answer_error(int error) {
    if (error < 0) {
        answer("error %d", error);
    } else {
        answer("ok");
    }
}

// The words of a line: "verb number... option=value...".
struct Command {
    std::string verb;
    std::vector<std::string> words;

    explicit Command(char *line) {
        for (char *word = std::strtok(line, " \n"); word; word = std::strtok(nullptr, " \n")) {
            if (verb.empty()) {
                verb = word;
            } else {
                words.emplace_back(word);
            }
        }
    }

    uint64_t number(size_t index) const { return index < words.size() ? std::strtoull(words[index].c_str(), nullptr, 0) : 0; }

    bool has(const char *word) const {
        for (const std::string &other : words) {
            if (other == word) { return true; }
        }
        return false;
    }

    uint64_t option(const char *option) const {
        std::string start = std::string(option) + "=";
        for (const std::string &word : words) {
            if (word.compare(0, start.size(), start) == 0) { return std::strtoull(word.c_str() + start.size(), nullptr, 0); }
        }
        return 0;
    }
};

// ---- the writer ---------------------------------------------------------------------------------------------------------------

// writer CAPACITY [max=] [percent=] [segments=] [mode=] [lossless]
void open_writer(const Command &command) {
    speculo_area_options options{};
    options.struct_size = sizeof options;
    options.capacity = command.number(0);
    options.max_capacity = command.option("max");
    options.compact_percent = uint32_t(command.option("percent"));
    options.segments = uint32_t(command.option("segments"));
    options.mode = uint32_t(command.option("mode"));
    options.flags = command.has("lossless") ? SPECULO_AREA_LOSSLESS : 0;
    answer_error(speculo_area_open(name, SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE, &options, &writer));
}

int write_one(size_t size, Kind kind, speculo_chunk_options &options) {
    void *data;
    uint64_t id;
    options.tag = kind;
    options.flags = kind == passing ? SPECULO_CHUNK_TRANSIENT : 0;
    if (int error = speculo_chunk_alloc(writer, size, &options, &data, &id); error < 0) { return error; }
    uint64_t value = kind == lasting ? ++written_lasting : kind == keyed ? ++written_versions : 0;
    fill_payload(data, size, id, stamp, value);
    newest_id = id;
    return speculo_commit(writer);
}

// write COUNT SIZE [lasting|keyed] [ttl=MS] [supersedes=ID]: commits of one chunk each
void write_chunks(const Command &command) {
    Kind kind = command.has("lasting") ? lasting : command.has("keyed") ? keyed : passing;
    speculo_chunk_options options{};
    options.struct_size = sizeof options;
    options.ttl_ns = command.option("ttl") * 1000000;
    options.supersedes = command.option("supersedes");
    options.key = kind == keyed ? "key" : nullptr;
    options.key_size = kind == keyed ? 3 : 0;
    uint64_t count = command.number(0), done = 0;
    for (; done < count; ++done) {
        int error = write_one(command.number(1), kind, options);
        if (error < 0) { return answer("error %d done=%" PRIu64 " newest=%" PRIu64, error, done, newest_id); }
    }
    answer("ok newest=%" PRIu64 " lasting=%" PRIu64, newest_id, written_lasting);
}

uint64_t generation() {
    speculo_area_info info{};
    info.struct_size = sizeof info;
    info.flags = SPECULO_INFO_QUICK;
    return speculo_area_get_info(writer, &info) == 0 ? info.generation : 0;
}

// cross COUNT SIZE: passing chunks, until so many compactions have come, and a few more
void cross(const Command &command) {
    speculo_chunk_options options{};
    options.struct_size = sizeof options;
    constexpr int few = 16; // asking for the generation costs more than a chunk
    for (uint64_t end = generation() + command.number(0); generation() < end;) {
        for (int i = 0; i < few; ++i) {
            if (int error = write_one(command.number(1), passing, options); error < 0) { return answer_error(error); }
        }
    }
    answer("ok newest=%" PRIu64, newest_id);
}

// compact COUNT
void compact(const Command &command) {
    for (uint64_t i = 0; i < command.number(0); ++i) {
        if (int error = speculo_area_compact(writer); error < 0) { return answer_error(error); }
    }
    answer("ok");
}

// ---- readers ------------------------------------------------------------------------------------------------------------------

// reader COUNT [trust=UID] [at-end] [no-cursor]: so many handles more
void open_readers(const Command &command) {
    speculo_area_options options{};
    options.struct_size = sizeof options;
    options.trusted_uid = uint32_t(command.option("trust"));
    options.flags = options.trusted_uid ? SPECULO_AREA_TRUST_UID : 0;
    uint32_t flags = command.has("at-end") ? SPECULO_OPEN_AT_END : command.has("no-cursor") ? SPECULO_OPEN_NO_CURSOR : 0;
    for (uint64_t i = 0; i < command.number(0); ++i) {
        Reader reader;
        if (int error = speculo_area_open(name, with_trust(flags), &options, &reader.area); error < 0) {
            return answer_error(error);
        }
        readers.push_back(reader);
    }
    answer("ok");
}

// What is wrong with a chunk that follows those before it, or nullptr.
const char *examine(Reader &reader, const speculo_chunk &chunk) {
    PayloadHead head;
    if (!check_payload(chunk.data, chunk.size, chunk.id, &head)) { return "payload"; }
    if (chunk.id <= reader.last_id) { return "order"; }
    if (chunk.id != reader.last_id + chunk.skipped + 1 && reader.last_id != 0) { return "skipped"; }
    if (chunk.tag == lasting && head.value != reader.last_lasting + 1) { return "lost"; }
    if (chunk.tag == keyed && head.value <= reader.last_version) { return "version"; }
    if (chunk.tag == lasting) { reader.last_lasting = head.value; }
    if (chunk.tag == keyed) { reader.last_version = head.value; }
    reader.last_id = chunk.id;
    reader.skipped += chunk.skipped;
    ++reader.chunks;
    return nullptr;
}

// 1, 0, or an error; or what is wrong.
int read_one(Reader &reader, const char *&ret_wrong) {
    speculo_chunk chunk{};
    int found = speculo_read_next(reader.area, &chunk);
    if (found == 1) { ret_wrong = examine(reader, chunk); }
    return found;
}

// read [COUNT]: every handle reads so many chunks at most, or all there are. Tells what they have come to, if all are alike.
void read(const Command &command) {
    uint64_t most = command.words.empty() ? UINT64_MAX : command.number(0);
    for (Reader &reader : readers) {
        for (uint64_t i = 0; i < most; ++i) {
            const char *wrong = nullptr;
            int found = read_one(reader, wrong);
            if (wrong) { return answer("broken %s after=%" PRIu64, wrong, reader.last_id); }
            if (found < 0) { return answer_error(found); }
            if (found == 0) { break; }
        }
    }
    const Reader &first = readers.front();
    for (const Reader &reader : readers) {
        if (reader.last_id != first.last_id || reader.last_lasting != first.last_lasting) { return answer("broken unlike"); }
    }
    answer("ok chunks=%" PRIu64 " last=%" PRIu64 " lasting=%" PRIu64 " skipped=%" PRIu64 " version=%" PRIu64, first.chunks,
           first.last_id, first.last_lasting, first.skipped, first.last_version);
}

// read-until ID PAUSE_US: the first handle reads, with a pause after each chunk, until it has that one
void read_until(const Command &command) {
    Reader &reader = readers.front();
    while (reader.last_id < command.number(0)) {
        const char *wrong = nullptr;
        int found = read_one(reader, wrong);
        if (wrong) { return answer("broken %s after=%" PRIu64, wrong, reader.last_id); }
        if (found < 0) { return answer_error(found); }
        if (command.number(1) != 0 || found == 0) { usleep(useconds_t(found == 0 ? 50 : command.number(1))); }
    }
    answer("ok chunks=%" PRIu64 " last=%" PRIu64 " lasting=%" PRIu64 " skipped=%" PRIu64 " version=%" PRIu64, reader.chunks,
           reader.last_id, reader.last_lasting, reader.skipped, reader.last_version);
}

// key: the newest version, by each handle
void read_key(const Command &) {
    PayloadHead head{};
    for (Reader &reader : readers) {
        speculo_chunk chunk{};
        int found = speculo_read_key(reader.area, "key", 3, &chunk);
        if (found < 0) { return answer_error(found); }
        if (found == 0) { return answer("ok none"); }
        if (!check_payload(chunk.data, chunk.size, chunk.id, &head)) { return answer("broken payload"); }
    }
    answer("ok version=%" PRIu64, head.value);
}

// look: takes a view of each kind and keeps it; look-again: whether its bytes are what they were
speculo_snapshot *snapshot;
speculo_chunk key_view, snapshot_view;

void look(const Command &) {
    Reader &reader = readers.front();
    int found = speculo_read_next(reader.area, &reader.view);
    if (found == 1) { found = speculo_read_key(reader.area, "key", 3, &key_view); }
    if (found == 1 && (found = speculo_snapshot_open(reader.area, &snapshot)) == 0) {
        found = speculo_snapshot_next(snapshot, &snapshot_view);
    }
    if (found == 1) {
        if (const char *wrong = examine(reader, reader.view)) { return answer("broken %s", wrong); }
        return answer("ok id=%" PRIu64, reader.view.id);
    }
    answer("error %d", found);
}

void look_again(const Command &) {
    const speculo_chunk *views[] = {&readers.front().view, &key_view, &snapshot_view};
    for (const speculo_chunk *view : views) {
        if (!check_payload(view->data, view->size, view->id)) { return answer("broken view of %" PRIu64, view->id); }
    }
    answer("ok id=%" PRIu64, readers.front().view.id);
}

// count: how many chunks are live now, by a snapshot of the first handle's
void count_live(const Command &) {
    speculo_snapshot *all;
    if (int error = speculo_snapshot_open(readers.front().area, &all); error < 0) { return answer_error(error); }
    uint64_t count = 0;
    speculo_chunk chunk{};
    int found;
    while ((found = speculo_snapshot_next(all, &chunk)) == 1) { ++count; }
    speculo_snapshot_close(all);
    if (found < 0) { return answer_error(found); }
    answer("ok count=%" PRIu64, count);
}

// ---- both ---------------------------------------------------------------------------------------------------------------------

void tell_info(const Command &) {
    speculo_area_info info{};
    info.struct_size = sizeof info;
    int error = speculo_area_get_info(writer ? writer : readers.front().area, &info);
    if (error < 0) { return answer_error(error); }
    answer("ok segments=%" PRIu64 " memory=%" PRIu64 " generation=%" PRIu64 " newest=%" PRIu64 " live=%" PRIu64 " alive=%" PRIu32
           " jumps=%" PRIu64 " owner=%" PRIu32 " mode=%" PRIu32 " skipped=%" PRIu64,
           info.segments, info.memory, info.generation, info.newest_id, info.live_chunks, info.writer_alive, info.jumps,
           info.owner_uid, info.mode, info.skipped);
}

void release_all() {
    speculo_snapshot_close(snapshot);
    snapshot = nullptr;
    for (Reader &reader : readers) { speculo_area_close(reader.area); }
    readers.clear();
    writer = speculo_area_close(writer);
}

void close_all(const Command &) {
    release_all();
    answer("ok");
}

void tell_faults(const Command &) {
    rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    answer("ok faults=%ld", usage.ru_minflt);
}

void tell_now(const Command &) { answer("ok now=%" PRIu64, speculo_now()); }

// uid UID: this process is another user's from now on
void change_user(const Command &command) {
    auto uid = uid_t(command.number(0));
    bool changed = setgroups(0, nullptr) == 0 && setresgid(uid, uid, uid) == 0 && setresuid(uid, uid, uid) == 0;
    answer_error(changed ? 0 : -errno);
}

// other-time SECONDS: goes on in a time namespace that is so far ahead. Only what is forked afterwards is in it.
void enter_other_time(const Command &command) {
    int flags = geteuid() == 0 ? CLONE_NEWTIME : CLONE_NEWTIME | CLONE_NEWUSER;
    if (unshare(flags) < 0) { return answer_error(-errno); }
    int fd = open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
    std::string text = "boottime " + command.words[0] + " 0\nmonotonic " + command.words[0] + " 0\n";
    bool written = fd >= 0 && ::write(fd, text.data(), text.size()) == ssize_t(text.size());
    if (!written) { return answer_error(-errno); }
    close(fd);
    pid_t child = fork();
    if (child > 0) {
        int status;
        while (waitpid(child, &status, 0) < 0) {}
        _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    answer_error(child < 0 ? -errno : 0);
}

// ---- what strace looks at -----------------------------------------------------------------------------------------------------

// A call that nothing else here makes, so that it stands out in a trace.
void mark() { getppid(); }

// marked VERB COUNT: does it so often between two marks
void run_marked(const Command &command) {
    speculo_chunk_options options{};
    options.struct_size = sizeof options;
    const std::string &verb = command.words[0];
    int error = 0;
    uint64_t done = 0, count = command.number(1);
    const char *wrong = nullptr;
    mark();
    for (; done < count && error >= 0 && !wrong; ++done) {
        speculo_chunk chunk{};
        if (verb == "write") { error = write_one(64, passing, options); }
        if (verb == "write-key") {
            options.key = "key";
            options.key_size = 3;
            error = write_one(64, keyed, options);
        }
        if (verb == "read") { error = read_one(readers.front(), wrong); }
        if (verb == "read-key") { error = speculo_read_key(readers.front().area, "key", 3, &chunk); }
        if (verb == "compact") { error = speculo_area_compact(writer); }
        if (verb == "write" || verb == "write-key" || verb == "compact") { continue; }
        if (error == 0) { error = -ENOENT; } // there is something to read
    }
    mark();
    if (wrong) { return answer("broken %s", wrong); }
    answer_error(error);
}

struct Verb {
    const char *name;
    void (*run)(const Command &);
};

const Verb verbs[] = {
    {"writer", open_writer},
    {"write", write_chunks},
    {"cross", cross},
    {"compact", compact},
    {"reader", open_readers},
    {"read", read},
    {"read-until", read_until},
    {"key", read_key},
    {"look", look},
    {"look-again", look_again},
    {"count", count_live},
    {"info", tell_info},
    {"close", close_all},
    {"faults", tell_faults},
    {"now", tell_now},
    {"uid", change_user},
    {"other-time", enter_other_time},
    {"marked", run_marked},
};

void obey(char *line) {
    Command command(line);
    for (const Verb &verb : verbs) {
        if (command.verb == verb.name) { return verb.run(command); }
    }
    answer("broken verb %s", command.verb.c_str());
}

} // namespace

int main(int argc, char **argv) {
    if (argc != 2) { return 2; }
    name = argv[1];
    stamp = uint64_t(getpid());
    char line[512];
    while (std::fgets(line, sizeof line, stdin)) { obey(line); }
    release_all(); // a leak checker that runs at exit would share the locks, and outlive this process
    return 0;
}
