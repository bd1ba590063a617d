// SPDX-License-Identifier: LGPL-2.1-or-later
#include "image.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <utility>

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace speculo::test {

namespace {

void need(bool is_good, const char *what) {
    if (is_good) { return; }
    std::perror(what);
    std::abort();
}

std::vector<std::string> names_in(const std::string &directory) {
    std::vector<std::string> names;
    DIR *stream = opendir(directory.c_str());
    need(stream, directory.c_str());
    while (const dirent *entry = readdir(stream)) {
        if (entry->d_name[0] != '.') { names.push_back(entry->d_name); }
    }
    closedir(stream);
    std::sort(names.begin(), names.end());
    return names;
}

uint64_t hash_of(const Object &object) {
    std::hash<std::string_view> hash;
    uint64_t text = hash(object.name) * 31 + hash(std::string_view(object.bytes.data(), object.bytes.size()));
    return text * 31 + object.mode * 2 + object.is_named;
}

const char *map(int fd, size_t size) {
    if (size == 0) { return nullptr; }
    void *address = mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
    need(address != MAP_FAILED, "mmap");
    return static_cast<const char *>(address);
}

void write_object(const std::string &directory, const Object &object) {
    int fd = open((directory + "/" + object.name).c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    need(fd >= 0, object.name.c_str());
    ssize_t size = ssize_t(object.bytes.size());
    need(pwrite(fd, object.bytes.data(), object.bytes.size(), 0) == size && fchmod(fd, object.mode) == 0, "write an object");
    close(fd);
}

// Only what differs, as a reader may look at it.
void change_object(const std::string &directory, const Object &from, const Object &to) {
    if (from.bytes == to.bytes && from.mode == to.mode) { return; }
    int fd = open((directory + "/" + to.name).c_str(), O_RDWR | O_CLOEXEC);
    need(fd >= 0, to.name.c_str());
    size_t first = 0, last = to.bytes.size();
    while (first < last && first < from.bytes.size() && from.bytes[first] == to.bytes[first]) { ++first; }
    while (last > first && last <= from.bytes.size() && from.bytes[last - 1] == to.bytes[last - 1]) { --last; }
    bool is_written = pwrite(fd, to.bytes.data() + first, last - first, off_t(first)) == ssize_t(last - first);
    need(is_written && fchmod(fd, to.mode) == 0, "change an object");
    close(fd);
}

} // namespace

const Object *Image::find(const Object &like) const {
    for (const Object &object : objects) {
        if (object.name == like.name && object.inode == like.inode) { return &object; }
    }
    return nullptr;
}

uint64_t Image::hash() const {
    uint64_t all = objects.size();
    for (const Object &object : objects) { all = all * 0x9e3779b97f4a7c15 + object.hash; }
    return all;
}

// ---- watching -------------------------------------------------------------------------------------------------------------------

Watch::~Watch() {
    for (size_t i = 0; i < there_.size(); ++i) {
        if (there_[i]) { munmap(const_cast<char *>(there_[i]), image_.objects[i].bytes.size()); }
    }
}

bool Watch::list() {
    Image now;
    std::vector<const char *> there;
    bool is_changed = false;
    for (const std::string &name : names_in(directory_)) {
        int fd = open((directory_ + "/" + name).c_str(), O_RDONLY | O_CLOEXEC);
        need(fd >= 0, name.c_str());
        struct stat status;
        need(fstat(fd, &status) == 0, "fstat");
        Object object;
        object.name = name;
        object.inode = status.st_ino;
        object.mode = status.st_mode & 07777;
        const Object *before = image_.find(object);
        if (before) { object.bytes = before->bytes; }
        is_changed |= !before || before->mode != object.mode || before->bytes.size() != size_t(status.st_size);
        object.bytes.resize(size_t(status.st_size));
        object.hash = hash_of(object);
        now.objects.push_back(std::move(object));
        there.push_back(map(fd, size_t(status.st_size)));
        close(fd);
    }
    is_changed |= keep_unlinked(now, there);
    std::swap(now, image_);
    std::swap(there, there_);
    for (size_t i = 0; i < there.size(); ++i) {
        if (there[i]) { munmap(const_cast<char *>(there[i]), now.objects[i].bytes.size()); }
    }
    return is_changed;
}

// Those that have lost their name go on being watched.
bool Watch::keep_unlinked(Image &now, std::vector<const char *> &there) {
    bool is_changed = false;
    for (size_t i = 0; i < there_.size(); ++i) {
        Object &object = image_.objects[i];
        if (now.find(object)) { continue; }
        is_changed |= object.is_named;
        now.objects.push_back(object);
        now.objects.back().is_named = false;
        now.objects.back().hash = hash_of(now.objects.back());
        there.push_back(std::exchange(there_[i], nullptr));
    }
    return is_changed;
}

bool Watch::look(bool anew) {
    bool is_changed = anew && list();
    for (size_t i = 0; i < there_.size(); ++i) {
        Object &object = image_.objects[i];
        if (!there_[i] || std::memcmp(there_[i], object.bytes.data(), object.bytes.size()) == 0) { continue; }
        std::memcpy(object.bytes.data(), there_[i], object.bytes.size());
        object.hash = hash_of(object);
        is_changed = true;
    }
    return is_changed;
}

// ---- directories ----------------------------------------------------------------------------------------------------------------

Workshop::Workshop() {
    path_ = "/dev/shm/speculo-test-" + std::to_string(getpid()) + "-step";
    need(mkdir(path_.c_str(), 0700) == 0, path_.c_str());
}

Workshop::~Workshop() {
    for (const std::string &name : names_in(path_)) {
        clear(path_ + "/" + name);
        rmdir((path_ + "/" + name).c_str());
    }
    rmdir(path_.c_str());
}

std::string Workshop::room(const std::string &name) {
    std::string path = path_ + "/" + name;
    mkdir(path.c_str(), 0700);
    clear(path);
    return path;
}

void clear(const std::string &directory) {
    for (const std::string &name : names_in(directory)) { unlink((directory + "/" + name).c_str()); }
}

void lay(const std::string &directory, const Image &image) {
    for (const Object &object : image.objects) {
        if (object.is_named) { write_object(directory, object); }
    }
}

void change(const std::string &directory, const Image &from, const Image &to) {
    for (const Object &object : to.objects) {
        const Object *before = from.find(object);
        if (before) { change_object(directory, *before, object); }
        if (before && !object.is_named) { unlink((directory + "/" + object.name).c_str()); }
    }
    for (const Object &object : to.objects) {
        if (object.is_named && !from.find(object)) { write_object(directory, object); }
    }
}

} // namespace speculo::test
