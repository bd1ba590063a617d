// SPDX-License-Identifier: LGPL-2.1-or-later
// LMDB, in memory and without syncing to a disk: a transaction for each update, and for each look. With the word `wmap` the writer
// changes the pages where they lie.
#include <lmdb.h>

#include "../store.hpp"

namespace {

void check_code(int error) { bench::check(error == 0, mdb_strerror(error)); }

class Lmdb {
public:
    explicit Lmdb(const bench::Plan &plan)
        : path_("/dev/shm/speculo-bench-" + std::to_string(getpid()) + "-lmdb"),
          is_there_(*static_cast<std::atomic<uint32_t> *>(bench::shared_memory(sizeof(std::atomic<uint32_t>)))),
          flags_(MDB_NOSUBDIR | MDB_NOSYNC | (plan.has("wmap") ? MDB_WRITEMAP : 0)) {}
    ~Lmdb() {
        if (environment_) { mdb_env_close(environment_); }
        unlink(path_.c_str());
        unlink((path_ + "-lock").c_str());
    }
    Lmdb(const Lmdb &) = delete;
    Lmdb &operator=(const Lmdb &) = delete;

    void become_writer() {
        open(flags_);
        MDB_txn *transaction;
        check_code(mdb_txn_begin(environment_, nullptr, 0, &transaction));
        check_code(mdb_dbi_open(transaction, nullptr, 0, &table_));
        check_code(mdb_txn_commit(transaction));
    }
    void become_reader() {} // the writer has to be first: opens when it looks
    void update(uint64_t number) {
        MDB_txn *transaction;
        check_code(mdb_txn_begin(environment_, nullptr, 0, &transaction));
        MDB_val key = {key_size, const_cast<char *>(key_name)}, value = {bench::value_size, nullptr};
        check_code(mdb_put(transaction, table_, &key, &value, MDB_RESERVE));
        bench::fill<bench::value_size>(value.mv_data, number);
        check_code(mdb_txn_commit(transaction));
        is_there_.store(1, std::memory_order_release);
    }
    bool read(uint64_t &number) {
        if (is_there_.load(std::memory_order_acquire) == 0) { return false; }
        if (!reading_) { open_to_read(); }
        check_code(mdb_txn_renew(reading_));
        MDB_val key = {key_size, const_cast<char *>(key_name)}, value;
        int error = mdb_get(reading_, table_, &key, &value);
        if (error == 0) { number = bench::number_of<bench::value_size>(value.mv_data); }
        mdb_txn_reset(reading_);
        bench::check(error == 0 || error == MDB_NOTFOUND, "LMDB cannot read");
        return error == 0;
    }
    uint64_t join() {
        uint64_t number = 0;
        bench::check(read(number), "the key is not there");
        return number;
    }

private:
    static constexpr char key_name[] = "key-0";
    static constexpr size_t key_size = sizeof key_name - 1;

    void open(unsigned flags) {
        check_code(mdb_env_create(&environment_));
        check_code(mdb_env_set_mapsize(environment_, 64 << 20));
        check_code(mdb_env_open(environment_, path_.c_str(), flags, 0600));
    }
    void open_to_read() {
        open(MDB_NOSUBDIR | MDB_RDONLY);
        check_code(mdb_txn_begin(environment_, nullptr, MDB_RDONLY, &reading_));
        check_code(mdb_dbi_open(reading_, nullptr, 0, &table_));
        mdb_txn_reset(reading_);
    }

    std::string path_;
    std::atomic<uint32_t> &is_there_; // both have it
    unsigned flags_;
    MDB_env *environment_ = nullptr;
    MDB_txn *reading_ = nullptr;
    MDB_dbi table_ = 0;
};

void measure_join(const bench::Plan &plan) {
    // The writer is a process of its own: an environment may be opened once in each, also over a fork.
    std::unique_ptr<Lmdb> lmdb = std::make_unique<Lmdb>(plan);
    pid_t writer = fork();
    if (writer == 0) {
        lmdb->become_writer();
        lmdb->update(7);
        _exit(0);
    }
    waitpid(writer, nullptr, 0);
    bench::measure_join(plan, [&] { return lmdb->join(); });
}

} // namespace

int main(int argc, char **argv) {
    bench::Plan plan(argc, argv);
    plan.what == "join" ? measure_join(plan) : bench::measure_latest<Lmdb>(plan);
}
