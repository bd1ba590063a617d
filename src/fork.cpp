// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fork.hpp"

#include <pthread.h>

namespace speculo::core {

namespace {

pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
LockDescriptor *descriptors; // guarded by the mutex
OwnMark *marks;              // guarded by the mutex
bool watching;               // guarded by the mutex

void before_fork() { pthread_mutex_lock(&mutex); }
void after_fork_in_parent() { pthread_mutex_unlock(&mutex); }

void after_fork_in_child() {
    for (LockDescriptor *d = descriptors; d; d = d->next) {
        os::operations.close(d->fd);
        d->fd = -1;
        d->link = nullptr;
    }
    descriptors = nullptr;
    for (OwnMark *mark = marks; mark; mark = mark->next) {
        mark->value = 0;
        mark->link = nullptr;
    }
    marks = nullptr;
    pthread_mutex_unlock(&mutex);
}

// Both under the mutex.
template <class Item> void enlist(Item *&list, Item &item) {
    item.next = list;
    item.link = &list;
    if (list) { list->link = &item.next; }
    list = &item;
}
template <class Item> void delist(Item &item) {
    *item.link = item.next;
    if (item.next) { item.next->link = item.link; }
    item.link = nullptr;
}

} // namespace

int fork_watch() {
    ForkGuard guard;
    if (watching) { return 0; }
    int error = os::operations.at_fork(before_fork, after_fork_in_parent, after_fork_in_child);
    watching = error == 0;
    return error;
}

int lock_descriptor_open(LockDescriptor &descriptor, int directory, const char *name, os::Access access) {
    ForkGuard guard;
    int fd = os::operations.open(directory, name, access);
    if (fd < 0) { return fd; }
    descriptor.fd = fd;
    enlist(descriptors, descriptor);
    return 0;
}

void lock_descriptor_adopt(LockDescriptor &descriptor, int fd) {
    ForkGuard guard;
    descriptor.fd = fd;
    enlist(descriptors, descriptor);
}

void lock_descriptor_close(LockDescriptor &descriptor) {
    ForkGuard guard;
    if (descriptor.fd < 0) { return; }
    delist(descriptor);
    constexpr uint64_t all = 0;
    os::operations.lock(descriptor.fd, os::Lock::none, 0, all);
    os::operations.close(descriptor.fd);
    descriptor.fd = -1;
}

void own_mark_set(OwnMark &mark, uint32_t value, const ForkGuard &) {
    mark.value = value;
    enlist(marks, mark);
}

void own_mark_end(OwnMark &mark, const ForkGuard &) {
    if (mark.link) { delist(mark); }
    mark.value = 0; // a child that is made from now on does not find it
}

ForkGuard::ForkGuard() { pthread_mutex_lock(&mutex); }
ForkGuard::~ForkGuard() { pthread_mutex_unlock(&mutex); }

} // namespace speculo::core
