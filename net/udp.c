#include "net/udp.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "engine/check.h"
#include "net/socket.h"

enum {
    UDP_MAGIC = 0x75647031,
    /* What we ask the kernel to buffer: at 128-byte datagrams some 10,000 of them (each is charged about 768 bytes). */
    KERNEL_BUFFER_BYTES = 8 << 20,
    /* Where one received datagram ends and the next begins. Above the longest datagram (IPv6: 65,527 bytes); the odd
     * 192 bytes keep the starts of the datagrams of a batch from sharing a few sets of the caches. Pages that no
     * datagram reached are never used. */
    RECEIVE_STRIDE_BYTES = 65536 + 192,
    RECEIVE_REGION_BYTES = RECEIVE_STRIDE_BYTES * UDP_BATCH_COUNT,
    GATHER_BYTES = 256 << 10,
};

/*
 * Datagrams that go out are copied into `bytes` back to back, in order, and described by the slots first_slot ...
 * first_slot + count - 1 (modulo UDP_BATCH_COUNT). Normally all of them leave at once and both start again at 0; only
 * when the kernel takes a part do they go round as rings. (Equal datagrams to one peer lie side by side: they can leave
 * as one UDP_SEGMENT send without another copy.)
 */
struct gather {
    size_t first_slot, count;
    size_t write_at; /* where the next datagram goes, unless it must wrap */
    struct mmsghdr headers[UDP_BATCH_COUNT];
    struct iovec spans[UDP_BATCH_COUNT];
    struct udp_peer peers[UDP_BATCH_COUNT];
    unsigned char bytes[GATHER_BYTES];
};

struct udp_socket {
    int magic;
    int fd;
    bool connected;
    /* A flush within udp_send met a refusal; the next udp_flush or udp_receive says so. */
    bool refused;
    struct udp_counts counts;
    struct udp_peer peer; /* connected: the peer */

    unsigned char *receive_region;
    size_t receive_used_count; /* headers that the last receive wrote to */
    struct mmsghdr receive_headers[UDP_BATCH_COUNT];
    struct iovec receive_spans[UDP_BATCH_COUNT];
    struct udp_peer receive_peers[UDP_BATCH_COUNT];

    struct gather gather;
};

/* ---- open and close ---- */

/* SO_xBUFFORCE ignores the system's limit but needs a privilege; without it the kernel gives what it allows. */
static void ask_for_buffer(int fd, int force_option, int option)
{
    int bytes = KERNEL_BUFFER_BYTES;
    if (setsockopt(fd, SOL_SOCKET, force_option, &bytes, sizeof bytes) != 0)
        (void)setsockopt(fd, SOL_SOCKET, option, &bytes, sizeof bytes);
}

static void prepare_receive(struct udp_socket *socket)
{
    for (size_t i = 0; i < UDP_BATCH_COUNT; i++) {
        socket->receive_spans[i].iov_base = socket->receive_region + i * RECEIVE_STRIDE_BYTES;
        socket->receive_spans[i].iov_len = RECEIVE_STRIDE_BYTES;
        struct msghdr *header = &socket->receive_headers[i].msg_hdr;
        header->msg_iov = &socket->receive_spans[i];
        header->msg_iovlen = 1;
        header->msg_name = socket->connected ? NULL : &socket->receive_peers[i].address;
        header->msg_namelen = socket->connected ? 0 : sizeof socket->receive_peers[i].address;
    }
}

static void prepare_gather(struct gather *gather)
{
    for (size_t i = 0; i < UDP_BATCH_COUNT; i++) {
        gather->headers[i].msg_hdr.msg_iov = &gather->spans[i];
        gather->headers[i].msg_hdr.msg_iovlen = 1;
    }
}

static enum status udp_open(struct udp_socket **opened, const struct address *address, bool connected,
                            struct error *error)
{
    int fd = socket_open(address, SOCK_DGRAM);
    if (fd < 0)
        return error_set_errno(error, errno, "%s", address->text);
    ask_for_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF);
    ask_for_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF);
    const struct sockaddr *place = (const struct sockaddr *)&address->socket_address;
    int result =
        connected ? connect(fd, place, address->socket_address_bytes) : bind(fd, place, address->socket_address_bytes);
    if (result != 0) {
        enum status status = error_set_errno(error, errno, "%s", address->text);
        close(fd);
        return status;
    }
    void *region =
        mmap(NULL, RECEIVE_REGION_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    struct udp_socket *made = calloc(1, sizeof *made);
    CHECK(region != MAP_FAILED && made != NULL);
    made->magic = UDP_MAGIC;
    made->fd = fd;
    made->connected = connected;
    if (connected) {
        made->peer.address = address->socket_address;
        made->peer.address_bytes = address->socket_address_bytes;
    }
    made->receive_region = region;
    prepare_receive(made);
    prepare_gather(&made->gather);
    *opened = made;
    return STATUS_OK;
}

enum status udp_open_listener(struct udp_socket **socket, const struct address *address, struct error *error)
{
    return udp_open(socket, address, false, error);
}

enum status udp_open_connected(struct udp_socket **socket, const struct address *address, struct error *error)
{
    return udp_open(socket, address, true, error);
}

void udp_close(struct udp_socket **socket)
{
    if (*socket == NULL)
        return;
    CHECK_MAGIC(*socket, UDP_MAGIC);
    close((*socket)->fd);
    munmap((*socket)->receive_region, RECEIVE_REGION_BYTES);
    (*socket)->magic = 0;
    free(*socket);
    *socket = NULL;
}

int udp_fd(const struct udp_socket *socket)
{
    CHECK_MAGIC(socket, UDP_MAGIC);
    return socket->fd;
}

const struct udp_counts *udp_counts(const struct udp_socket *socket)
{
    CHECK_MAGIC(socket, UDP_MAGIC);
    return &socket->counts;
}

void udp_local_text(const struct udp_socket *socket, char *text, size_t text_bytes)
{
    CHECK_MAGIC(socket, UDP_MAGIC);
    socket_local_text(socket->fd, text, text_bytes);
}

/* ---- receive ---- */

static bool take_refusal(struct udp_socket *socket)
{
    bool refused = socket->refused;
    socket->refused = false;
    return refused;
}

/* What an ICMP message about an earlier datagram may leave at the socket. Reading it clears it. */
static bool is_icmp_error(int error_number)
{
    switch (error_number) {
    case ECONNREFUSED:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EHOSTDOWN:
    case ENOPROTOOPT:
    case EPROTO:
    case EMSGSIZE:
        return true;
    default:
        return false;
    }
}

/* The kernel wrote into these the length of the sender's address. */
static void renew_receive_headers(struct udp_socket *socket)
{
    if (!socket->connected)
        for (size_t i = 0; i < socket->receive_used_count; i++)
            socket->receive_headers[i].msg_hdr.msg_namelen = sizeof socket->receive_peers[i].address;
    socket->receive_used_count = 0;
}

enum status udp_receive(struct udp_socket *socket, udp_datagram_handler *handler, void *context, size_t *count,
                        struct error *error)
{
    CHECK_MAGIC(socket, UDP_MAGIC);
    *count = 0;
    if (take_refusal(socket))
        return STATUS_CLOSED;
    renew_receive_headers(socket);
    int result;
    do
        result = recvmmsg(socket->fd, socket->receive_headers, UDP_BATCH_COUNT, MSG_DONTWAIT, NULL);
    while (result < 0 && (errno == EINTR || (!socket->connected && is_icmp_error(errno))));
    if (result < 0) {
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            return STATUS_OK;
        if (errno == ECONNREFUSED)
            return STATUS_CLOSED;
        return error_set_errno(error, errno, "cannot receive datagrams");
    }
    socket->receive_used_count = (size_t)result;
    *count = (size_t)result;
    socket->counts.received_count += (uint64_t)result;
    for (size_t i = 0; i < (size_t)result; i++) {
        const struct mmsghdr *header = &socket->receive_headers[i];
        struct udp_peer *peer = &socket->peer;
        if (!socket->connected) {
            peer = &socket->receive_peers[i];
            peer->address_bytes = header->msg_hdr.msg_namelen;
        }
        socket->counts.received_bytes += header->msg_len;
        handler(context, header->msg_hdr.msg_iov->iov_base, header->msg_len, peer);
    }
    return STATUS_OK;
}

/* ---- send ---- */

static void remove_first(struct gather *gather)
{
    gather->first_slot = (gather->first_slot + 1) % UDP_BATCH_COUNT;
    if (--gather->count == 0) {
        gather->first_slot = 0;
        gather->write_at = 0;
    }
}

/* Finds room for `length` bytes and a slot. Each datagram takes a byte at least, so that write_at equals the place of
 * the first one only when the ring of bytes has gone round and is full. */
static bool find_room(struct gather *gather, size_t length)
{
    if (gather->count == UDP_BATCH_COUNT)
        return false;
    size_t needed = length > 0 ? length : 1;
    if (gather->count == 0)
        return true;
    const unsigned char *first = gather->spans[gather->first_slot].iov_base;
    size_t first_at = (size_t)(first - gather->bytes);
    if (gather->write_at <= first_at)
        return first_at - gather->write_at > needed;
    if (GATHER_BYTES - gather->write_at >= needed)
        return true;
    if (first_at <= needed)
        return false;
    gather->write_at = 0;
    return true;
}

/* Hands slots to the kernel, up to the end of their array. Returns how many left, or -1 with errno. An error that a
 * later datagram than the first met is lost in sendmmsg, and the datagram is tried again by the next call; if it was a
 * refusal, the next one follows suit. */
static int send_once(struct udp_socket *socket)
{
    struct gather *gather = &socket->gather;
    size_t span = UDP_BATCH_COUNT - gather->first_slot;
    if (span > gather->count)
        span = gather->count;
    int sent = sendmmsg(socket->fd, &gather->headers[gather->first_slot], (unsigned)span, MSG_DONTWAIT | MSG_NOSIGNAL);
    for (int i = 0; i < sent; i++) {
        socket->counts.sent_bytes += gather->spans[gather->first_slot].iov_len;
        remove_first(gather);
    }
    if (sent > 0)
        socket->counts.sent_count += (uint64_t)sent;
    return sent;
}

static enum status flush(struct udp_socket *socket)
{
    struct gather *gather = &socket->gather;
    while (gather->count > 0) {
        if (send_once(socket) >= 0)
            continue;
        if (errno == EINTR)
            continue;
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            return STATUS_AGAIN;
        if (errno == ECONNREFUSED && socket->connected) {
            socket->counts.sent_count++;
            socket->counts.sent_bytes += gather->spans[gather->first_slot].iov_len;
            remove_first(gather);
            return STATUS_CLOSED;
        }
        /* The system refuses this one (no route, forbidden, no memory): the others need not suffer for it. */
        socket->counts.send_failed_count++;
        remove_first(gather);
    }
    return STATUS_OK;
}

static void make_room(struct udp_socket *socket, size_t length)
{
    while (!find_room(&socket->gather, length)) {
        enum status status = flush(socket);
        if (status == STATUS_CLOSED) {
            socket->refused = true;
        } else if (status == STATUS_AGAIN && !find_room(&socket->gather, length)) {
            socket->counts.send_failed_count++;
            remove_first(&socket->gather);
        }
    }
}

enum status udp_send(struct udp_socket *socket, const struct udp_peer *peer, const void *head, size_t head_length,
                     const void *body, size_t body_length)
{
    CHECK_MAGIC(socket, UDP_MAGIC);
    CHECK(peer != NULL || socket->connected);
    if (head_length > UDP_DATAGRAM_BYTES_MAX || body_length > UDP_DATAGRAM_BYTES_MAX - head_length)
        return STATUS_INPUT;
    size_t length = head_length + body_length;
    make_room(socket, length);

    struct gather *gather = &socket->gather;
    size_t slot = (gather->first_slot + gather->count) % UDP_BATCH_COUNT;
    unsigned char *place = gather->bytes + gather->write_at;
    if (head_length > 0)
        memcpy(place, head, head_length);
    if (body_length > 0)
        memcpy(place + head_length, body, body_length);
    gather->spans[slot] = (struct iovec){.iov_base = place, .iov_len = length};
    struct msghdr *header = &gather->headers[slot].msg_hdr;
    header->msg_name = NULL;
    header->msg_namelen = 0;
    if (peer != NULL) {
        CHECK(peer->address_bytes <= sizeof peer->address);
        memcpy(&gather->peers[slot].address, &peer->address, peer->address_bytes);
        header->msg_name = &gather->peers[slot].address;
        header->msg_namelen = peer->address_bytes;
    }
    gather->write_at += length > 0 ? length : 1;
    gather->count++;
    return STATUS_OK;
}

enum status udp_flush(struct udp_socket *socket)
{
    CHECK_MAGIC(socket, UDP_MAGIC);
    if (take_refusal(socket))
        return STATUS_CLOSED;
    return flush(socket);
}

size_t udp_gathered_count(const struct udp_socket *socket)
{
    CHECK_MAGIC(socket, UDP_MAGIC);
    return socket->gather.count;
}

size_t udp_discard(struct udp_socket *socket)
{
    CHECK_MAGIC(socket, UDP_MAGIC);
    size_t count = socket->gather.count;
    while (socket->gather.count > 0)
        remove_first(&socket->gather);
    return count;
}
