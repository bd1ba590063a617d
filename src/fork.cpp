// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fork.hpp"

#include <pthread.h>

namespace speculo::core {

ForkCount forks;

namespace {

pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
LockDescriptor *descriptors; // guarded by the mutex
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
    forks.add();
    pthread_mutex_unlock(&mutex);
}

// Under the mutex.
void enlist(LockDescriptor &descriptor, int fd) {
    descriptor.fd = fd;
    descriptor.next = descriptors;
    descriptor.link = &descriptors;
    if (descriptors) { descriptors->link = &descriptor.next; }
    descriptors = &descriptor;
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
    enlist(descriptor, fd);
    return 0;
}

void lock_descriptor_adopt(LockDescriptor &descriptor, int fd) {
    ForkGuard guard;
    enlist(descriptor, fd);
}

void lock_descriptor_close(LockDescriptor &descriptor) {
    ForkGuard guard;
    if (descriptor.fd < 0) { return; }
    *descriptor.link = descriptor.next;
    if (descriptor.next) { descriptor.next->link = descriptor.link; }
    constexpr uint64_t all = 0;
    os::operations.lock(descriptor.fd, os::Lock::none, 0, all);
    os::operations.close(descriptor.fd);
    descriptor.fd = -1;
}

ForkGuard::ForkGuard() { pthread_mutex_lock(&mutex); }
ForkGuard::~ForkGuard() { pthread_mutex_unlock(&mutex); }

} // namespace speculo::core
