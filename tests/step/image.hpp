// SPDX-License-Identifier: LGPL-2.1-or-later
// What lies in shared memory: the objects of an area that has a directory for itself.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <sys/types.h>

namespace speculo::test {

struct Object {
    std::string name;
    uint64_t inode = 0;
    mode_t mode = 0;
    bool is_named = true; // false: it was unlinked since; readers may still be inside
    std::vector<char> bytes;
    uint64_t hash = 0;
};

struct Image {
    std::vector<Object> objects;                  // by name
    const Object *find(const Object &like) const; // the same object
    uint64_t hash() const;
};

// Sees what another process does to the objects.
class Watch {
public:
    explicit Watch(std::string directory) : directory_(std::move(directory)) {}
    ~Watch();
    Watch(const Watch &) = delete;
    Watch &operator=(const Watch &) = delete;

    // Whether anything has changed since. `anew`: names and sizes may have, too.
    bool look(bool anew);
    const Image &image() const { return image_; }

private:
    bool list();
    bool keep_unlinked(Image &now, std::vector<const char *> &there);

    std::string directory_;
    Image image_;
    std::vector<const char *> there_; // the objects of the image, as they are now
};

// Directories of shared memory that go with their object.
class Workshop {
public:
    Workshop();
    ~Workshop();
    Workshop(const Workshop &) = delete;
    Workshop &operator=(const Workshop &) = delete;

    // A directory in it, which is made if it is not there, and empty.
    std::string room(const std::string &name);

private:
    std::string path_;
};

void clear(const std::string &directory);
// Makes the objects of an image in an empty directory.
void lay(const std::string &directory, const Image &image);
// Makes one image of another as a writer would: what is in both stays the same file.
void change(const std::string &directory, const Image &from, const Image &to);

} // namespace speculo::test
