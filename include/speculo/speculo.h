/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SPECULO_H
#define SPECULO_H

/**
 * @file
 * speculo: shared memory made easy.
 *
 * One writer process shares chunks of data, through an area of shared memory, with any number of reader processes. Readers look
 * at the chunks where they lie: no copy, no lock, no daemon, and a consistent view at every moment.
 *
 *  - A *chunk* is an immutable run of bytes with an id; optionally it has a key, a time to live, a type mark (tag), and a chunk
 *    that it supersedes.
 *  - A *commit* makes all chunks allocated since the last one visible together, and hides what they supersede together with it.
 *  - A reader follows the stream of chunks with its *cursor* (speculo_read_next()), finds the newest chunk of a key
 *    (speculo_read_key()), or looks at everything that is live at one moment (a *snapshot*).
 *  - When a segment of the area is used up, the live chunks are copied into another one (*compaction*); readers follow by
 *    themselves. Expired, superseded and transient chunks are left behind.
 *
 * @par Errors
 * Calls that return `int` give a negative `errno` value on failure; `errno` itself and all outputs are left untouched then. Each
 * code has one meaning:
 *
 * | code              | meaning                                                                                       |
 * |-------------------|-----------------------------------------------------------------------------------------------|
 * | `-EINVAL`         | misuse: a NULL or senseless argument, an unknown flag, a bad name, the wrong kind of handle   |
 * | `-E2BIG`          | a reserved or unknown field of a struct is not zero                                           |
 * | `-ENOENT`         | no such area, id or key                                                                       |
 * | `-EEXIST`         | there is such an area                                                                         |
 * | `-EBUSY`          | another writer has the area                                                                   |
 * | `-EACCES`         | the system refused access                                                                     |
 * | `-EPERM`          | the area's owner is not to be trusted, or the caller is not its owner                         |
 * | `-EAGAIN`         | lossless area: cursors have not caught up; elsewhere: gave up after a bounded number of tries |
 * | `-ENOSPC`         | no room, even after compaction and growth, or the file system is full                         |
 * | `-EMSGSIZE`       | the chunk can never fit, or is larger than an untrusting reader wants to copy                 |
 * | `-EOVERFLOW`      | all 2^56 - 1 ids have been given                                                              |
 * | `-EPROTONOSUPPORT`| the area has another format version or byte order                                             |
 * | `-EBADMSG`        | the contents are inconsistent                                                                 |
 * | `-ESTALE`         | the area was removed or replaced                                                              |
 * | `-EROFS`          | writing through a reader's handle                                                             |
 * | `-EOPNOTSUPP`     | this system or file system cannot                                                             |
 * | `-ECHILD`         | the handle belongs to the parent process                                                      |
 * | `-EINTR`          | waiting: a signal handler ran                                                                 |
 * | `-EPIPE`          | waiting: the writer is gone, and everything is read                                           |
 * | others            | as the system gave them: `-ENOMEM`, `-EMFILE`, ...                                            |
 *
 * @par Threads
 * A handle belongs to one thread at a time. Different handles are independent, also in one process, also a writer's and a
 * reader's of the same area. Exceptions are stated at the call (`@threads`).
 *
 * @par fork
 * After fork() the child may only close and release; other calls give `-ECHILD`. The child holds no claim on the area: what the
 * parent's views point at may be used again once the parent has let go of it.
 *
 * @par Trust
 * The boundary of trust is the uid: processes of one uid can do anything to each other. Readers of another uid can neither write
 * nor hold the writer back (unless it asks for a lossless area). A reader believes an owner whom it trusts: a writer that breaks
 * the rules, by cutting an object short or writing where it must not, can make it crash (SIGBUS) or read nonsense.
 *
 * With #SPECULO_OPEN_UNTRUSTED a reader trusts the writer in nothing. It maps no memory of the area: all it looks at is copied
 * through the kernel, checked, and only the copy is used. Whatever the writer does meanwhile, every call returns after a bounded
 * time (a second at worst), with whole chunks or an error, and views do not change. What the chunks say is the writer's word.
 * Each look costs a few system calls, each view a copy: all calls are there and mean the same, but for what is said at each call.
 */

#include <stddef.h>
#include <stdint.h>

/* ---- version ------------------------------------------------------------------------------------------------------------ */

#define SPECULO_VERSION_MAJOR 0 /**< Of this header. */
#define SPECULO_VERSION_MINOR 1 /**< Of this header. */
#define SPECULO_VERSION_PATCH 0 /**< Of this header. */

/** Number of a version, for comparisons with #SPECULO_VERSION in `#if`. */
#define SPECULO_VERSION_NUMBER(major, minor, patch) ((major)*1000000 + (minor)*1000 + (patch))

/** Version of this header as a number. */
#define SPECULO_VERSION SPECULO_VERSION_NUMBER(SPECULO_VERSION_MAJOR, SPECULO_VERSION_MINOR, SPECULO_VERSION_PATCH)

/* ---- what compilers want to hear ---------------------------------------------------------------------------------------- */

#if defined(__GNUC__)
#define SPECULO_API __attribute__((visibility("default")))
#else
#define SPECULO_API
#endif

#ifdef __cplusplus
#define SPECULO_NOTHROW noexcept
#elif defined(__GNUC__)
#define SPECULO_NOTHROW __attribute__((nothrow))
#else
#define SPECULO_NOTHROW
#endif

#ifdef __cplusplus
extern "C" {
#endif

/**
 * One process's handle of an area: the writer's, or a reader's with its cursor.
 *
 * Made by speculo_area_open(), freed by speculo_area_close(). One thread at a time.
 */
typedef struct speculo_area speculo_area;

/**
 * The chunks that were live at one commit boundary, held fixed.
 *
 * Made by speculo_snapshot_open(), freed by speculo_snapshot_close(); outlives the handle that it came from. One thread at a time.
 */
typedef struct speculo_snapshot speculo_snapshot;

/**
 * @defgroup area Area
 * Open, look at, and remove an area.
 * @{
 */

#define SPECULO_OPEN_READ 0u             /**< Follow the area; the cursor starts at the beginning of the current segment. */
#define SPECULO_OPEN_WRITE (1u << 0)     /**< Take the single writer's role; `-EBUSY` if someone has it. */
#define SPECULO_OPEN_CREATE (1u << 1)    /**< With WRITE: create the area if there is none. */
#define SPECULO_OPEN_EXCLUSIVE (1u << 2) /**< With CREATE: `-EEXIST` if there is one. */
#define SPECULO_OPEN_AT_END (1u << 3)    /**< READ: start after the newest chunk. */
#define SPECULO_OPEN_UNTRUSTED                                                                                                   \
    (1u << 4) /**< READ: the writer may be hostile: any owner will do, and everything is copied and checked (see Trust). */
#define SPECULO_OPEN_NO_CURSOR                                                                                                   \
    (1u << 5) /**< READ: keys and snapshots only; never holds a writer back; pins only the segment of its last read_key. */

#define SPECULO_AREA_LOSSLESS                                                                                                    \
    (1u << 0) /**< WRITE: never drop what a cursor has yet to read: alloc gives `-EAGAIN` instead. Kept by the area. */
#define SPECULO_AREA_TRUST_UID                                                                                                   \
    (1u << 1) /**< READ: accept an area of speculo_area_options::trusted_uid too, beside one's own and root's. */

/**
 * What speculo_area_open() may be told. All zero means defaults; so does passing NULL.
 *
 * For an area that exists, a zero field keeps what the area has; another value holds from the next compaction on (mode: at once).
 * Fields of the other role must be zero.
 */
typedef struct speculo_area_options {
    size_t struct_size;       /**< sizeof(speculo_area_options) */
    uint64_t capacity;        /**< WRITE: bytes for chunks in one segment (header and tables come on top), rounded up to whole
                                   pages; default 1 MiB, at most 63 GiB */
    uint64_t max_capacity;    /**< WRITE: compaction may grow segments up to this many bytes; default: capacity. With
                                   #SPECULO_OPEN_UNTRUSTED: bytes of the largest chunk to copy, at most 63 GiB; default 64 MiB */
    uint32_t mode;            /**< WRITE: permission bits for readers, default 0600; any beyond 0644 is `-EINVAL` */
    uint32_t compact_percent; /**< WRITE: compact once this share of the used bytes is dead, 1..100; 0: only when full */
    uint64_t prefault;        /**< bytes to make resident at open; without meaning where nothing is mapped. WRITE: in huge
                                   pages, as far as the system has them and the memory is new */
    uint32_t segments;        /**< WRITE: memory objects used in turn, 2..16; default 3. Up to 32 while readers pin some */
    uint32_t flags;           /**< SPECULO_AREA_* */
    uint32_t trusted_uid;     /**< READ, with #SPECULO_AREA_TRUST_UID: an owner to be trusted */
    uint32_t reserved32;      /**< zero */
    uint64_t reserved[4];     /**< zero */
} speculo_area_options;

#define SPECULO_INFO_QUICK (1u << 0) /**< speculo_area_info::flags: do not walk; the four counts stay 0. */

/** What speculo_area_get_info() tells. The caller sets struct_size and flags. */
typedef struct speculo_area_info {
    size_t struct_size;         /**< sizeof(speculo_area_info), set by the caller */
    uint32_t flags;             /**< SPECULO_INFO_*, set by the caller */
    uint32_t mode;              /**< permission bits */
    uint64_t capacity;          /**< bytes for chunks in the current segment */
    uint64_t used;              /**< bytes of it that are taken, by chunks alive or dead */
    uint64_t live_chunks;       /**< chunks that are live; counted by walking the segment: O(chunks) */
    uint64_t live_bytes;        /**< their payload, in bytes */
    uint64_t expired_chunks;    /**< chunks still stored in the current segment that have expired */
    uint64_t superseded_chunks; /**< chunks still stored in the current segment that were superseded, removed or obsoleted */
    uint64_t newest_id;         /**< of the newest commit; 0: none yet */
    uint64_t generation;        /**< number of the current segment; 1: never compacted */
    uint64_t segments;          /**< named memory objects for chunks, those that readers pin, or have pinned lately, among them */
    uint64_t memory;            /**< their bytes in all */
    uint64_t skipped;           /**< reader: ids behind its first position that it passed without delivering (not by seeking) */
    uint32_t writer_alive;      /**< 1: a process has the writer's role (also where that cannot be known), 0: none */
    uint32_t owner_uid;         /**< uid that owns the area */
    uint64_t jumps;             /**< reader: how often segments were jumped over (a mirror resynchronises when it changes) */
    uint64_t reserved[7];       /**< zero */
} speculo_area_info;

/**
 * Opens an area for reading or, with #SPECULO_OPEN_WRITE, takes its writer's role.
 *
 * A name is `weather` or `/weather`, in the system's namespace of shared memory: 1..200 bytes of `[A-Za-z0-9._-]`, not starting
 * with a dot. A name with a `/` further on is the absolute path of a plain file, its last part made of the same bytes; network,
 * FUSE and copy-on-write file systems are refused. A writer that follows one that died takes over every committed chunk.
 *
 * @param name      Name of the area.
 * @param flags     SPECULO_OPEN_*.
 * @param options   Choices, or NULL for the defaults. Not kept.
 * @param ret_area  On success: the handle; free it with speculo_area_close().
 * @return 0, or: `-ENOENT` no such area; `-EEXIST`; `-EBUSY` another writer; `-EACCES`; `-EPERM` the owner is neither the caller,
 *         root nor the trusted uid, or the name is squatted; `-EINVAL`; `-E2BIG`; `-ENOSPC`; `-EPROTONOSUPPORT` other format or
 *         byte order; `-EBADMSG` damaged; `-EOPNOTSUPP` a lossless area, or this file system, is not possible here; `-EAGAIN` the
 *         writer changed segments too often meanwhile; or as the system gave it.
 * @threads  Any thread.
 * @since    0.1
 */
SPECULO_API int speculo_area_open(const char *name, uint32_t flags, const speculo_area_options *options,
                                  speculo_area **ret_area) SPECULO_NOTHROW;

/**
 * Closes a handle and frees it. Never removes the area.
 *
 * What a writer has not committed is rolled back. Holds and snapshots stay valid; other views end here. Needs no memory and no
 * space, so it does not fail.
 *
 * @param area  Handle, or NULL. Consumed.
 * @return NULL.
 * @threads  One thread per handle.
 * @since    0.1
 */
SPECULO_API speculo_area *speculo_area_close(speculo_area *area) SPECULO_NOTHROW;

/**
 * Removes an area of any format version: its name and its memory, once the last reader has let go of it.
 *
 * Readers keep what they have and get `-ESTALE` once they have read it all. For the owner and root. A damaged area is removed like any
 * other; what is no area stays.
 *
 * @param name  Name of the area, as for speculo_area_open().
 * @return 0, or: `-ENOENT`; `-EBUSY` a writer lives; `-EPERM` not the owner; `-EBADMSG` what has the name is no area; `-EINVAL`; or as
 *         the system gave it.
 * @threads  Any thread.
 * @since    0.1
 */
SPECULO_API int speculo_area_remove(const char *name) SPECULO_NOTHROW;

/**
 * Is told of one problem that speculo_area_check() found.
 *
 * `error` is `-EBADMSG`, or as the system gave it. `message` names the object and the place in it, in English, to be read by
 * people; valid during the call. Must not throw.
 */
typedef void (*speculo_report_fn)(void *user, int error, const char *message);

/**
 * Validates everything that an area holds: control page, every segment with its header, frames, ids, successors, index and key
 * table, and that all objects are there, whole, and the owner's alone.
 *
 * For those who may read the area. Changes nothing, takes no role and disturbs neither writer nor readers: it reads beside a
 * living writer, follows when that changes segments, and looks again before it tells of anything that might just be changing.
 * What a writer that died left half done is sound: the next one puts it in order. Payloads bear no checksum, and are not
 * looked at.
 *
 * Segments that are no longer current count as well, with their key tables, as cursors and snapshots may still go there; and
 * so do the bell (without it readers oversleep) and the lock (without it a second writer might come in), as no crash takes
 * these away.
 *
 * Costs a walk over all frames and keys of all segments, and memory: a bit for every 16 bytes of a segment. It pins the
 * segment that it looks at, as any reader does: a writer that wants to use that again meanwhile replaces it, in a lossless
 * area too.
 *
 * @param name    Name of the area, as for speculo_area_open().
 * @param report  Called for each problem, in this thread, at most 100 times, and then once to say that further ones are not
 *                listed; or NULL. May use the area, through handles of its own.
 * @param user    Handed to `report`.
 * @return 0 sound; `-EBADMSG` not: at least one thing is wrong, and readers and writers may come to grief; remove the area and
 *         make it anew. If nothing was found to be wrong, but not everything could be looked at: `-EAGAIN` the writer changed
 *         segments too often meanwhile; `-ENOMEM`, ... as the system gave it. `-ESTALE` the area was removed meanwhile. As
 *         when a reader opens it: `-ENOENT`; `-EACCES`; `-EPERM`; `-EPROTONOSUPPORT`; `-EINVAL`; `-EOPNOTSUPP`.
 * @threads  Any thread.
 * @since    0.1
 */
SPECULO_API int speculo_area_check(const char *name, speculo_report_fn report, void *user) SPECULO_NOTHROW;

/**
 * Tells the state of an area.
 *
 * Walks the current segment to count chunks, unless #SPECULO_INFO_QUICK is set. A writer's pending chunks count in `used` only.
 * Makes a few system calls; pins nothing.
 *
 * @param area  Handle of either kind.
 * @param info  In: struct_size and flags. On success: filled in. Unchanged on failure.
 * @return 0, or: `-EINVAL`; `-E2BIG` struct_size is that of a newer version and its unknown part is not zero; `-EBADMSG`;
 *         `-EAGAIN`; `-ESTALE`; `-ECHILD`; or as the system gave it.
 * @threads  One thread per handle.
 * @since    0.1
 */
SPECULO_API int speculo_area_get_info(speculo_area *area, speculo_area_info *info) SPECULO_NOTHROW;

/**
 * Copies the live chunks into another segment now, at a moment of the writer's choice.
 *
 * Otherwise speculo_chunk_alloc() does so when it has to. Cost: a copy of everything live.
 *
 * @param area  Writer's handle, with nothing pending.
 * @return 0, or: `-EINVAL` chunks are pending; `-EROFS`; `-EAGAIN` lossless: cursors have not caught up; `-ENOSPC`; `-ESTALE`;
 *         `-EBADMSG`; `-ECHILD`; or as the system gave it. After a failure everything is as before.
 * @threads  One thread per handle.
 * @since    0.1
 */
SPECULO_API int speculo_area_compact(speculo_area *area) SPECULO_NOTHROW;

/** @} */

/**
 * @defgroup writing Writing
 * Allocate chunks, fill them in place, and commit them together.
 * @{
 */

#define SPECULO_CHUNK_REMOVED (1u << 0)   /**< In a view: the key was removed, no payload follows. */
#define SPECULO_CHUNK_TRANSIENT (1u << 1) /**< Not carried over by compaction. */
#define SPECULO_CHUNK_JUMPED                                                                                                     \
    (1u << 2) /**< In a view: segments were jumped over right before this chunk; resynchronise from a snapshot if it matters. */

/** What speculo_chunk_alloc() may be told. All zero means: a plain chunk that lives until it is superseded. */
typedef struct speculo_chunk_options {
    size_t struct_size;   /**< sizeof(speculo_chunk_options) */
    uint64_t ttl_ns;      /**< time to live in nanoseconds, counted from alloc; 0: never expires */
    uint64_t supersedes;  /**< id of the chunk this one replaces; 0: none */
    const void *key;      /**< replaces the live chunk with the same key, if there is one; copied */
    size_t key_size;      /**< bytes of the key, 1..255; 0 without key */
    uint32_t alignment;   /**< of the payload in bytes: power of two, 0 = 16, at most 4096 */
    uint32_t tag;         /**< the caller's own type mark, delivered to readers */
    uint32_t flags;       /**< #SPECULO_CHUNK_TRANSIENT */
    uint32_t reserved32;  /**< zero */
    uint64_t reserved[4]; /**< zero */
} speculo_chunk_options;

/**
 * Makes room for a chunk, to be filled in place and then committed.
 *
 * Compacts the area when the segment is full. Without compaction it makes no system call, but for one each time a further step
 * of the segment's memory is allocated. Without speculo_commit() nobody ever sees the chunk.
 *
 * @param area      Writer's handle.
 * @param size      Bytes of payload, 0 allowed.
 * @param options   Choices, or NULL for a plain chunk. Not kept.
 * @param ret_data  On success: @p size writable bytes of undefined content, never NULL, owned by the area, valid until commit,
 *                  rollback or close, whatever else is allocated meanwhile. Unchanged on failure.
 * @param ret_id    On success: the chunk's id. May be NULL. Ids of chunks that were never committed are given again.
 * @return 0, or: `-ENOSPC`; `-EMSGSIZE` more than max_capacity; `-EAGAIN` lossless: cursors have not caught up; `-ENOENT`
 *         `supersedes` is not stored any more, or superseded; `-EOVERFLOW`; `-EOPNOTSUPP` ttl_ns, where the clock of the host is
 *         not known; `-ESTALE`; `-EBADMSG`; `-EROFS`; `-EINVAL`; `-E2BIG`; `-ECHILD`; or as the system gave it. After a failure
 *         the pending chunks are as before.
 * @threads  One thread per handle.
 * @since    0.1
 */
SPECULO_API int speculo_chunk_alloc(speculo_area *area, size_t size, const speculo_chunk_options *options, void **ret_data,
                                    uint64_t *ret_id) SPECULO_NOTHROW;

/**
 * Makes the last allocated chunk smaller: keeps its first @p size bytes.
 *
 * For data whose size is known only once it is there, such as a read() straight into the chunk. No system call.
 *
 * @param area  Writer's handle.
 * @param size  Bytes to keep, at most what the chunk has.
 * @return 0, or: `-EINVAL` no chunk is pending, or it would grow; `-EROFS`; `-ECHILD`.
 * @threads  One thread per handle.
 * @since    0.1
 */
SPECULO_API int speculo_chunk_shrink(speculo_area *area, size_t size) SPECULO_NOTHROW;

/**
 * Ends a chunk's life with the next commit, without a successor.
 *
 * @param area  Writer's handle.
 * @param id    Of a live or a pending chunk. One that expired but is still stored will do.
 * @return 0, or: `-ENOENT` no such chunk, or superseded, removed or obsoleted by an earlier commit; `-ENOSPC`; `-EAGAIN`;
 *         `-ESTALE`; `-EBADMSG`; `-EROFS`; `-EINVAL`; `-ECHILD`; or as the system gave it.
 * @threads  One thread per handle.
 * @since    0.1
 */
SPECULO_API int speculo_chunk_obsolete(speculo_area *area, uint64_t id) SPECULO_NOTHROW;

/**
 * Removes a key, and the chunk that has it, with the next commit.
 *
 * Cursors that have not passed are told by a view with #SPECULO_CHUNK_REMOVED. Even a full area has room for one removal in a
 * commit.
 *
 * @param area      Writer's handle.
 * @param key       The key.
 * @param key_size  Its bytes, 1..255.
 * @return 0, or: `-ENOENT` no chunk has the key; `-ENOSPC`; `-EAGAIN`; `-EOVERFLOW`; `-ESTALE`; `-EBADMSG`; `-EROFS`; `-EINVAL`;
 *         `-ECHILD`; or as the system gave it.
 * @threads  One thread per handle.
 * @since    0.1
 */
SPECULO_API int speculo_key_remove(speculo_area *area, const void *key, size_t key_size) SPECULO_NOTHROW;

/**
 * Publishes everything since the last commit: all of it becomes visible at once.
 *
 * A commit of nothing is fine. No system call but to wake those who wait; in an area that other users may read it wakes unasked,
 * once a millisecond at most. Needs no memory and no space, so it does not fail for want of them.
 *
 * @param area  Writer's handle.
 * @return 0, or: `-EROFS`; `-EINVAL`; `-ECHILD`.
 * @threads  One thread per handle.
 * @since    0.1
 */
SPECULO_API int speculo_commit(speculo_area *area) SPECULO_NOTHROW;

/**
 * Forgets everything since the last commit.
 *
 * @param area  Writer's handle.
 * @return 0, or: `-EROFS`; `-EINVAL`; `-ECHILD`.
 * @threads  One thread per handle.
 * @since    0.1
 */
SPECULO_API int speculo_rollback(speculo_area *area) SPECULO_NOTHROW;

/** @} */

/**
 * @defgroup reading Reading
 * Follow the stream, look up keys, take snapshots, and hold what must stay.
 * @{
 */

/**
 * A view of a chunk, read-only.
 *
 * What `data` and `key` point at belongs to the library and stays valid and unchanged: a speculo_read_next() view until the next
 * speculo_read_next(), speculo_seek() or speculo_area_close() of that handle; a speculo_read_key() view until its next
 * speculo_read_key() or speculo_area_close(); a snapshot's until speculo_snapshot_close(); any of them longer by
 * speculo_chunk_hold(). Outputs are overwritten unread: release a hold first.
 */
typedef struct speculo_chunk {
    const void *data;    /**< payload */
    size_t size;         /**< its bytes */
    uint64_t id;         /**< id of the chunk */
    const void *key;     /**< key, NULL without */
    size_t key_size;     /**< its bytes, 0 without key */
    uint64_t expires_ns; /**< 0: never; else a time on the clock of speculo_now() */
    uint64_t skipped;    /**< read_next: ids passed right before this one without delivery */
    uint32_t tag;        /**< the writer's own type mark */
    uint32_t flags;      /**< SPECULO_CHUNK_* */
    uint64_t opaque[4];  /**< the library's own */
} speculo_chunk;

/**
 * Gives the next chunk of the stream and moves the cursor past it.
 *
 * Chunks come in commit order, each at most once. Hidden ones (expired, superseded) are passed. Makes no system call but when it
 * moves on to another segment.
 *
 * @param area       Reader's handle with a cursor.
 * @param ret_chunk  On 1: the view, valid until the next read_next, seek or close of this handle, unless held.
 * @return 1 delivered; 0 caught up; or: `-EBADMSG` (until a seek), `-EAGAIN`, `-ESTALE` the area was removed and the next segment
 *         is gone, `-EINVAL`, `-ECHILD`; or as the system gave it. #SPECULO_OPEN_UNTRUSTED: `-EMSGSIZE`, once, for a chunk that
 *         is larger than wanted: the cursor has passed it, and it counts as skipped; `-ENOMEM`, and the cursor is where it was.
 * @threads  One thread per handle.
 * @since    0.1
 */
SPECULO_API int speculo_read_next(speculo_area *area, speculo_chunk *ret_chunk) SPECULO_NOTHROW;

/**
 * Finds the live chunk that has a key, at the newest commit.
 *
 * Independent of the cursor. No system call unless a compaction came in between. In an area that was removed it goes on finding
 * what was there last; speculo_wait() tells of the removal.
 *
 * @param area       Reader's handle.
 * @param key        The key.
 * @param key_size   Its bytes, 1..255.
 * @param ret_chunk  On 1: the view, valid until the next read_key or close of this handle, unless held.
 * @return 1 found; 0 no live chunk has the key; or: `-EBADMSG`, `-EAGAIN`, `-ESTALE` the area was removed before this handle came
 *         to its last segment, `-EINVAL`, `-ECHILD`; or as the system gave it. #SPECULO_OPEN_UNTRUSTED: `-EMSGSIZE` it is larger
 *         than wanted; `-ENOMEM`.
 * @threads  One thread per handle.
 * @since    0.1
 */
SPECULO_API int speculo_read_key(speculo_area *area, const void *key, size_t key_size, speculo_chunk *ret_chunk) SPECULO_NOTHROW;

/**
 * Moves the cursor to the first chunk of the current segment with an id of at least @p id.
 *
 * Ends the last read_next view. O(log(size of the segment)).
 *
 * @param area  Reader's handle with a cursor.
 * @param id    Id; 0: the beginning of the current segment; above 2^56: its end.
 * @return 0, or: `-EBADMSG`, `-EAGAIN`, `-ESTALE` the area was removed and all is read, `-EINVAL`, `-ECHILD`; or as the system
 *         gave it. After a failure the cursor is where it was.
 * @threads  One thread per handle.
 * @since    0.1
 */
SPECULO_API int speculo_seek(speculo_area *area, uint64_t id) SPECULO_NOTHROW;

/**
 * Tells whether a chunk is still live at the newest commit.
 *
 * Goes by the chunk's id alone, so any view of this area will do, also an outdated one. O(1) while no compaction came in between,
 * else O(log(size of the segment)). In an area that was removed, what was live last stays so until it
 * expires; speculo_wait() tells of the removal.
 *
 * @param area   Reader's handle of the same area.
 * @param chunk  A view.
 * @return 1 live; 0 expired, superseded, removed or dropped meanwhile; or: `-EBADMSG`, `-EAGAIN`, `-ESTALE` the area was removed
 *         before this handle came to its last segment, `-EINVAL`, `-ECHILD`; or as the system gave it.
 * @threads  One thread per handle.
 * @since    0.1
 */
SPECULO_API int speculo_chunk_is_live(speculo_area *area, const speculo_chunk *chunk) SPECULO_NOTHROW;

/**
 * Keeps a view's bytes valid until released, even after the handle is closed.
 *
 * Costs shared memory while it lasts: one more segment, if the area comes round to this one; with #SPECULO_OPEN_UNTRUSTED only
 * the copy that the view is. The struct may be moved; release exactly one copy of it, once. Holding a held view changes nothing.
 *
 * @param area   The reader's handle that the view came from; a snapshot's view: the handle that the snapshot came from.
 * @param chunk  A view that is still valid. Its opaque part is changed.
 * @return 0, or: `-EINVAL` an outdated view, or another handle's; `-ECHILD`.
 * @threads  One thread per handle.
 * @since    0.1
 */
SPECULO_API int speculo_chunk_hold(speculo_area *area, speculo_chunk *chunk) SPECULO_NOTHROW;

/**
 * Ends a hold, and clears the view that had it.
 *
 * @param chunk  A view, or NULL. Nothing happens if it is not held.
 * @threads  Any thread.
 * @since    0.1
 */
SPECULO_API void speculo_chunk_release(speculo_chunk *chunk) SPECULO_NOTHROW;

/**
 * Takes a snapshot: the chunks that are live at the newest commit, held fixed.
 *
 * Costs no copy. Pins one segment until it is closed; expiry is judged at the moment of opening. That the files of the area were
 * unlinked by hand, rather than by speculo_area_remove(), is noticed some milliseconds late. (With #SPECULO_OPEN_UNTRUSTED each view is
 * a copy, which stays until the snapshot is closed.)
 *
 * @param area          Reader's handle.
 * @param ret_snapshot  On success: the snapshot, at its beginning; free it with speculo_snapshot_close().
 * @return 0, or: `-EAGAIN`, `-EBADMSG`, `-ESTALE` the area was removed and all is read, `-EINVAL`, `-ENOMEM`, `-ECHILD`; or as
 *         the system gave it.
 * @threads  One thread per handle.
 * @since    0.1
 */
SPECULO_API int speculo_snapshot_open(speculo_area *area, speculo_snapshot **ret_snapshot) SPECULO_NOTHROW;

/**
 * Gives the snapshot's next chunk, in commit order.
 *
 * @param snapshot   The snapshot.
 * @param ret_chunk  On 1: the view, valid until the snapshot is closed, unless held.
 * @return 1 delivered; 0 that was all; or: `-EBADMSG`, `-EINVAL`, `-ECHILD`. #SPECULO_OPEN_UNTRUSTED: `-EMSGSIZE`, once, for a
 *         chunk that is larger than wanted; `-ENOMEM`; `-EAGAIN` after a long way without a live chunk, to be called again; or as
 *         the system gave it.
 * @threads  One thread per snapshot.
 * @since    0.1
 */
SPECULO_API int speculo_snapshot_next(speculo_snapshot *snapshot, speculo_chunk *ret_chunk) SPECULO_NOTHROW;

/**
 * Finds the chunk that had a key when the snapshot was taken.
 *
 * @param snapshot   The snapshot.
 * @param key        The key.
 * @param key_size   Its bytes, 1..255.
 * @param ret_chunk  On 1: the view, valid until the snapshot is closed, unless held.
 * @return 1 found; 0 no chunk had the key; or: `-EBADMSG`, `-EINVAL`, `-ECHILD`. #SPECULO_OPEN_UNTRUSTED: `-EMSGSIZE` it is larger
 *         than wanted; `-ENOMEM`; `-EAGAIN`; or as the system gave it.
 * @threads  One thread per snapshot.
 * @since    0.1
 */
SPECULO_API int speculo_snapshot_key(speculo_snapshot *snapshot, const void *key, size_t key_size,
                                     speculo_chunk *ret_chunk) SPECULO_NOTHROW;

/**
 * Closes a snapshot and frees it. Its views end, unless held.
 *
 * @param snapshot  Snapshot, or NULL. Consumed.
 * @return NULL.
 * @threads  One thread per snapshot.
 * @since    0.1
 */
SPECULO_API speculo_snapshot *speculo_snapshot_close(speculo_snapshot *snapshot) SPECULO_NOTHROW;

/** @} */

/**
 * @defgroup waiting Waiting
 * Sleep until there is something to read, or let an event loop do so.
 * @{
 */

/**
 * Sleeps until there is something to read; for the writer of a lossless area, until there is room again.
 *
 * Looks at once, then for a few microseconds if that has paid lately (up to 50 after a sleep that was hardly one), then sleeps in
 * the kernel. Hidden chunks are passed, so that after 1 speculo_read_next() delivers, unless the chunk expires in between. Views
 * stay valid. A reader without a cursor (#SPECULO_OPEN_NO_CURSOR) is told of a commit since its last wait, or since it was opened;
 * a compaction may count as one.
 *
 * A writer that ends, or dies, ends the wait once everything is read: with `-EPIPE`, once for each writer there was, also for one
 * that was gone before this reader came. The next call waits for a later writer.
 *
 * No wake-up is lost: a sleep is cut into slices of at most 250 ms, and each begins with a look. Readers of another uid than the
 * owner's are woken within about 3 ms of a commit. A writer that has met a full file system besides is told 1 after each slice:
 * nobody says when there is space again, so it has to try.
 *
 * @param area        Reader's handle, or the writer's of a lossless area.
 * @param timeout_ns  Nanoseconds; 0: only look; negative: for ever.
 * @return 1 something to read, or room; 0 the time is over; or: `-EPIPE`; `-EINTR` a signal handler ran; `-ESTALE` the area was
 *         removed and all is read; `-EBADMSG`; `-EAGAIN`; `-EINVAL` the writer of an area that is not lossless; `-ECHILD`; or as
 *         the system gave it.
 * @threads  One thread per handle.
 * @since    0.1
 */
SPECULO_API int speculo_wait(speculo_area *area, int64_t timeout_ns) SPECULO_NOTHROW;

/**
 * Gives a descriptor for poll, epoll, or the event loop of GLib, libuv, Qt and others.
 *
 * It is readable when there may be something to read: then call speculo_area_dispatch(), read until speculo_read_next() gives 0, and
 * call speculo_area_dispatch() again before going back to the loop, unless the first one gave 0. It may be readable for nothing, and
 * is never silent for longer than 250 ms with something to read. A watch that is edge-triggered is told of a commit after each
 * dispatch that gave 0. Only to be watched for reading, not to be read from or closed: it belongs to the handle, and goes with it.
 *
 * @param area  Reader's handle.
 * @return The descriptor, the same each time, close-on-exec; or: `-EMFILE` (also when the user's inotify instances are used up;
 *         speculo_wait() still works); `-EINVAL` a writer's handle; `-ECHILD`; or as the system gave it.
 * @threads  One thread per handle.
 * @since    0.1
 */
SPECULO_API int speculo_area_get_fd(speculo_area *area) SPECULO_NOTHROW;

/**
 * Drains the handle's descriptor and arms it again.
 *
 * To be called when the descriptor was readable, or when everything was read. Never sleeps. After 1 the descriptor is still
 * readable, or again, so that nothing is forgotten if it is not all read.
 *
 * @param area  Reader's handle.
 * @return 1 something to read; 0 nothing; or the errors of speculo_wait(), but for `-EINTR`.
 * @threads  One thread per handle.
 * @since    0.1
 */
SPECULO_API int speculo_area_dispatch(speculo_area *area) SPECULO_NOTHROW;

/**
 * Tells whether a process has the writer's role.
 *
 * Asks the kernel for the lock that goes with the role: right at once after a crash, in every pid namespace, and not fooled by a
 * writer that is stopped.
 *
 * @param area  Handle of either kind.
 * @return 1 (also where a hostile process hides it), 0; or: `-EOPNOTSUPP` it cannot be known here; `-EINVAL`; `-ECHILD`.
 * @threads  One thread per handle.
 * @since    0.1
 */
SPECULO_API int speculo_area_writer_alive(speculo_area *area) SPECULO_NOTHROW;

/** @} */

/**
 * @defgroup misc Clock, messages, version
 * @{
 */

/**
 * The area's clock: nanoseconds since the host was booted, the same for all processes, whatever their time namespace.
 *
 * @return The time; 0 where it cannot be known.
 * @threads  Any thread.
 * @since    0.1
 */
SPECULO_API uint64_t speculo_now(void) SPECULO_NOTHROW;

/**
 * Tells in English what an error code of this library means.
 *
 * @param error  A code as returned, negative; 0 and unknown ones are fine.
 * @return A static text, never NULL.
 * @threads  Any thread.
 * @since    0.1
 */
SPECULO_API const char *speculo_strerror(int error) SPECULO_NOTHROW;

/**
 * The version of the library that is running, such as "0.1.0".
 *
 * @return A static text, never NULL.
 * @threads  Any thread.
 * @since    0.1
 */
SPECULO_API const char *speculo_version(void) SPECULO_NOTHROW;

/** @} */

#ifdef __cplusplus
}
#endif

#endif /* SPECULO_H */
