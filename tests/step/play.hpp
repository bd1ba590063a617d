// SPDX-License-Identifier: LGPL-2.1-or-later
// A piece of a writer's life, told once and used three ways: to know what readers must see, step by step (a model); to do it; and to
// do it while it is being watched from outside.
#pragma once

#include <atomic>
#include <cerrno>
#include <map>
#include <string>
#include <vector>

#include <speculo/speculo.h>

namespace speculo::test {

struct Block {
    uint64_t id = 0;
    std::string key;
    uint32_t tag = 0;
    size_t size = 0;
    uint64_t serial = 0; // of each block another one, also where an id is given again
    bool is_transient = false, is_removal = false, has_deadline = false;

    std::string payload() const;
};

// What readers may see between two calls.
struct State {
    int opening = -ENOENT; // what opening gives
    bool exists() const { return opening == 0; }
    uint64_t next_id = 1;
    std::map<uint64_t, Block> live, known; // known: whatever was committed so far
};

// What a chunk is to be.
struct Wish {
    explicit Wish(size_t bytes) : size(bytes) {}
    Wish &key(std::string text) { return key_text = std::move(text), *this; }
    Wish &supersedes(uint64_t id) { return superseded = id, *this; }
    Wish &transient() { return flags = SPECULO_CHUNK_TRANSIENT, *this; }
    Wish &tag(uint32_t mark) { return tag_mark = mark, *this; }
    Wish &aligned(uint32_t bytes) { return alignment = bytes, *this; }
    Wish &lives(uint64_t ns) { return ttl = ns, *this; }
    Wish &compacts() { return makes_room = true, *this; } // the call has to compact
    size_t size;
    std::string key_text;
    uint64_t superseded = 0, ttl = 0;
    uint32_t flags = 0, tag_mark = 0, alignment = 0;
    bool makes_room = false;
};

// In memory that the one who watches shares.
struct Ledger {
    std::atomic<uint32_t> inside;                  // in a call of the library
    std::atomic<uint32_t> attempted, acknowledged; // numbers of states
    std::atomic<uint32_t> wants_reader_to_go_on, is_done;
    char complaint[256];
};

struct AreaChoices : speculo_area_options {
    explicit AreaChoices(uint64_t bytes) : speculo_area_options{} {
        struct_size = sizeof(speculo_area_options);
        capacity = bytes;
    }
};

class Play {
public:
    enum class Form { model, real };

    Play(Form form, std::string name, State begin) : form_(form), name_(std::move(name)), states_{std::move(begin)} {}
    ~Play();
    Play(const Play &) = delete;
    Play &operator=(const Play &) = delete;

    // From here on each call begins with a trap, and the ledger says what happens.
    void be_watched(Ledger &ledger);
    void end(); // of what is watched

    void create(const speculo_area_options &options, uint32_t flags = 0);
    void open(const speculo_area_options *options = nullptr);
    void close();
    void remove();
    uint64_t add(const Wish &wish);
    void refuse(const Wish &wish, int error); // the same, to no avail
    void shrink(size_t size);
    void obsolete(uint64_t id, bool compacts = false);
    void remove_key(const std::string &key, bool compacts = false);
    void commit();
    void rollback();
    void compact();
    void let_reader_go_on();               // the one that stands beside
    void reboot(bool is_clean);            // of the machine
    void grow_old();                       // all deadlines pass
    void go_live() { form_ = Form::real; } // what was only told so far has been done by another

    const std::vector<State> &states() const { return states_; }
    const State &now() const { return states_.back(); }
    const std::string &name() const { return name_; }
    speculo_area *area() const { return area_; }
    const std::string &complaint() const { return complaint_; }
    speculo_area_info info() const;
    // Serial numbers from here on.
    void count_from(uint64_t serial) { serial_ = serial; }

private:
    enum class Kind { chunk, removal, obsolete };
    struct Pending {
        Kind kind;
        Block block;
        uint64_t ends; // id of what it ends
    };

    template <typename Call> int call(Call call);
    template <typename Call> void make(const char *what, int wanted, Call call);
    void complain(const char *what, int wanted, int got);
    void attempt(State next);
    void acknowledge();
    void opened();
    State committed() const;
    void begin_compaction(bool compacts);
    void end_compaction(bool compacts);

    Form form_;
    std::string name_, complaint_;
    std::vector<State> states_;
    std::vector<Pending> pending_;
    Ledger *ledger_ = nullptr;
    speculo_area *area_ = nullptr;
    uint64_t serial_ = 0, next_id_ = 1, generation_ = 0;
};

// What a writer does that goes on: single chunk, batch, with keys and successors; `pick` chooses whose.
void go_on(Play &play, unsigned pick, bool compacts_first);

// The library's random bytes are the same in every run that begins with the same seed.
void seed_random(uint64_t seed);
// From now on time stands still for the library.
void freeze_time();
// By so much it is later than it was.
void pretend_later(uint64_t ns);
// From now on this is another boot of the machine; 0: the true one.
void pretend_boot(unsigned number);
// From now on files lie on a file system that outlives the running system, as far as the library can tell.
void pretend_disk(bool is_disk);

} // namespace speculo::test
