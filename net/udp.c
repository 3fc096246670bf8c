#include "net/udp.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
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
    /* Datagrams of one run: what each kernel since 4.18 takes (UDP_MAX_SEGMENTS). */
    RUN_COUNT_MAX = 64,
};

/* Room for the one control message that we send or expect: how long the datagrams in a message are. Senders give a
 * uint16_t, receivers get an int. */
struct segment_control {
    _Alignas(struct cmsghdr) unsigned char bytes[CMSG_SPACE(sizeof(int))];
};

/*
 * Datagrams that go out are copied into `bytes` back to back, in order, and described by the slots first_slot ...
 * first_slot + count - 1 (modulo UDP_BATCH_COUNT). Normally all of them leave at once and both start again at 0; only
 * when the kernel takes a part do they go round as rings.
 *
 * Neighbours to one peer of equal length (the last one may be shorter) are a run: they lie side by side, and leave as
 * one message that the kernel cuts up (UDP_SEGMENT, udp(7)), so that they go through its layers once.
 */
struct gather {
    size_t first_slot, count;
    size_t write_at;          /* where the next datagram goes, unless it must wrap */
    size_t segment_bytes_max; /* the longest datagram of which runs are made; 0: none are */
    size_t refused_bytes; /* the first `single_count` were a run of such datagrams, which the system refused: they */
    size_t single_count;  /* leave one by one */
    struct iovec spans[UDP_BATCH_COUNT];
    struct udp_peer peers[UDP_BATCH_COUNT]; /* address_bytes 0: the connected peer */
    unsigned char bytes[GATHER_BYTES];
};

/* What one sendmmsg is told: a run, or a single datagram, a message. Made anew for each call. */
struct departure {
    size_t message_count;
    unsigned char datagram_counts[UDP_BATCH_COUNT];
    struct mmsghdr headers[UDP_BATCH_COUNT];
    struct iovec spans[UDP_BATCH_COUNT];
    struct segment_control controls[UDP_BATCH_COUNT];
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
    struct segment_control receive_controls[UDP_BATCH_COUNT];

    struct departure departure;
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
        header->msg_control = &socket->receive_controls[i];
    }
    socket->receive_used_count = UDP_BATCH_COUNT;
}

static void prepare_departure(struct departure *departure)
{
    for (size_t i = 0; i < UDP_BATCH_COUNT; i++) {
        struct msghdr *header = &departure->headers[i].msg_hdr;
        header->msg_iov = &departure->spans[i];
        header->msg_iovlen = 1;
        header->msg_control = &departure->controls[i];
        header->msg_controllen = sizeof departure->controls[i];
        struct cmsghdr *control = CMSG_FIRSTHDR(header);
        control->cmsg_level = SOL_UDP;
        control->cmsg_type = UDP_SEGMENT;
        control->cmsg_len = CMSG_LEN(sizeof(uint16_t));
    }
}

/* Datagrams that the sender's kernel or the network card's driver has put together are taken as they are (UDP_GRO;
 * Linux 5.0), and our runs may leave as one (UDP_SEGMENT; 4.18). A kernel that does not know the latter would ignore
 * the control message and send a run as one long datagram, so it is asked first. */
static void ask_for_runs(struct udp_socket *socket)
{
    int on = 1;
    (void)setsockopt(socket->fd, SOL_UDP, UDP_GRO, &on, sizeof on);
    int segment_bytes;
    socklen_t option_bytes = sizeof segment_bytes;
    bool knows_runs = getsockopt(socket->fd, SOL_UDP, UDP_SEGMENT, &segment_bytes, &option_bytes) == 0;
    socket->gather.segment_bytes_max = knows_runs ? UDP_DATAGRAM_BYTES_MAX : 0;
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
    prepare_departure(&made->departure);
    ask_for_runs(made);
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

/* The kernel wrote into these how long the sender's address and the control messages are. */
static void renew_receive_headers(struct udp_socket *socket)
{
    for (size_t i = 0; i < socket->receive_used_count; i++) {
        struct msghdr *header = &socket->receive_headers[i].msg_hdr;
        header->msg_namelen = socket->connected ? 0 : sizeof socket->receive_peers[i].address;
        header->msg_controllen = sizeof socket->receive_controls[i];
    }
    socket->receive_used_count = 0;
}

/* How long the datagrams are that a received message is made of; 0: it is one. */
static size_t segment_bytes_of(const struct msghdr *header)
{
    const struct cmsghdr *control = CMSG_FIRSTHDR(header);
    if (control == NULL || control->cmsg_level != SOL_UDP || control->cmsg_type != UDP_GRO)
        return 0;
    int segment_bytes;
    memcpy(&segment_bytes, CMSG_DATA(control), sizeof segment_bytes);
    return segment_bytes > 0 ? (size_t)segment_bytes : 0;
}

/* Returns how many datagrams the message was. */
static size_t hand_on(const struct mmsghdr *message, const struct udp_peer *peer, udp_datagram_handler *handler,
                      void *context)
{
    const unsigned char *data = message->msg_hdr.msg_iov->iov_base;
    size_t length = message->msg_len;
    size_t segment_bytes = segment_bytes_of(&message->msg_hdr);
    size_t count = 0;
    if (segment_bytes > 0) {
        for (; length > segment_bytes; data += segment_bytes, length -= segment_bytes, count++)
            handler(context, data, segment_bytes, peer);
    }
    handler(context, data, length, peer);
    return count + 1;
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
    for (size_t i = 0; i < (size_t)result; i++) {
        const struct mmsghdr *header = &socket->receive_headers[i];
        struct udp_peer *peer = &socket->peer;
        if (!socket->connected) {
            peer = &socket->receive_peers[i];
            peer->address_bytes = header->msg_hdr.msg_namelen;
        }
        socket->counts.received_bytes += header->msg_len;
        *count += hand_on(header, peer, handler, context);
    }
    socket->counts.received_count += *count;
    return STATUS_OK;
}

/* ---- send ---- */

static void remove_first(struct gather *gather)
{
    gather->first_slot = (gather->first_slot + 1) % UDP_BATCH_COUNT;
    if (gather->single_count > 0)
        gather->single_count--;
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

static bool is_same_peer(const struct udp_peer *one, const struct udp_peer *other)
{
    return one->address_bytes == other->address_bytes &&
           memcmp(&one->address, &other->address, one->address_bytes) == 0;
}

/* How many datagrams from the one at `index` (0: the first) on are one run; 1: it goes alone. */
static size_t run_count(const struct gather *gather, size_t index)
{
    size_t slot = (gather->first_slot + index) % UDP_BATCH_COUNT;
    const struct udp_peer *peer = &gather->peers[slot];
    size_t segment_bytes = gather->spans[slot].iov_len;
    size_t run_bytes = segment_bytes;
    const unsigned char *end = (const unsigned char *)gather->spans[slot].iov_base + segment_bytes;
    size_t count = 1;
    if (index < gather->single_count || segment_bytes > gather->segment_bytes_max)
        return 1;
    while (index + count < gather->count && count < RUN_COUNT_MAX) {
        slot = (slot + 1) % UDP_BATCH_COUNT;
        const struct iovec *next = &gather->spans[slot];
        /* A run ends with its bytes, so an empty datagram cannot be in one. */
        if (next->iov_base != end || next->iov_len == 0 || next->iov_len > segment_bytes ||
            run_bytes + next->iov_len > UDP_DATAGRAM_BYTES_MAX || !is_same_peer(peer, &gather->peers[slot]))
            break;
        end += next->iov_len;
        run_bytes += next->iov_len;
        count++;
        if (next->iov_len < segment_bytes)
            break;
    }
    return count;
}

/* Describes all that is gathered; or the datagrams of a refused run alone, since they show what to do with others. */
static void form_departure(struct departure *departure, struct gather *gather)
{
    size_t message = 0;
    size_t end = gather->single_count > 0 ? gather->single_count : gather->count;
    for (size_t index = 0, count; index < end; index += count, message++) {
        size_t slot = (gather->first_slot + index) % UDP_BATCH_COUNT;
        size_t last = (slot + (count = run_count(gather, index)) - 1) % UDP_BATCH_COUNT;
        struct msghdr *header = &departure->headers[message].msg_hdr;
        struct udp_peer *peer = &gather->peers[slot];
        size_t segment_bytes = gather->spans[slot].iov_len;
        departure->datagram_counts[message] = (unsigned char)count;
        departure->spans[message] = (struct iovec){
            .iov_base = gather->spans[slot].iov_base,
            .iov_len = (count - 1) * segment_bytes + gather->spans[last].iov_len,
        };
        header->msg_name = peer->address_bytes > 0 ? &peer->address : NULL;
        header->msg_namelen = peer->address_bytes;
        header->msg_control = NULL;
        header->msg_controllen = 0;
        if (count > 1) {
            header->msg_control = &departure->controls[message];
            header->msg_controllen = CMSG_SPACE(sizeof(uint16_t));
            uint16_t value = (uint16_t)segment_bytes;
            memcpy(CMSG_DATA(CMSG_FIRSTHDR(header)), &value, sizeof value);
        }
    }
    departure->message_count = message;
}

/* The datagrams of a refused run leave one by one: so it was the run that was refused, and such are not tried again. */
static void learn_from_refusal(struct gather *gather)
{
    if (gather->refused_bytes > 0 && gather->refused_bytes <= gather->segment_bytes_max)
        gather->segment_bytes_max = gather->refused_bytes - 1;
    gather->refused_bytes = 0;
}

/* Hands to the kernel what form_departure says. Returns how many messages left, or -1 with errno. An error that a later
 * message than the first met is lost in sendmmsg, and the message is tried again by the next call; if it was a refusal,
 * the next one follows suit. */
static int send_once(struct udp_socket *socket)
{
    struct gather *gather = &socket->gather;
    struct departure *departure = &socket->departure;
    form_departure(departure, gather);
    int sent =
        sendmmsg(socket->fd, departure->headers, (unsigned)departure->message_count, MSG_DONTWAIT | MSG_NOSIGNAL);
    for (int i = 0; i < sent; i++) {
        if (gather->single_count > 0)
            learn_from_refusal(gather);
        socket->counts.sent_bytes += departure->spans[i].iov_len;
        socket->counts.sent_count += departure->datagram_counts[i];
        for (unsigned j = 0; j < departure->datagram_counts[i]; j++)
            remove_first(gather);
    }
    return sent;
}

/* What a refused run tells, if its datagrams can be sent: from which length of datagrams on there can be none. */
static size_t refused_bytes(const struct gather *gather, int error_number)
{
    switch (error_number) {
    case EINVAL:
    case EMSGSIZE: /* too long for the network in one piece */
        return gather->spans[gather->first_slot].iov_len;
    case EIO: /* a tunnel, or no checksums in hardware */
    case EOPNOTSUPP:
        return 1;
    default: /* nothing: it will pass (no memory), or it met the first datagram and was gone for the next (what came
              * back for an earlier one, a firewall that forbids some) */
        return 0;
    }
}

/* The first message cannot be sent. A run is tried again datagram by datagram; a datagram that the system refuses (no
 * route, forbidden, no memory) is dropped: the others need not suffer for it. */
static void meet_error(struct udp_socket *socket, int error_number)
{
    struct gather *gather = &socket->gather;
    size_t count = socket->departure.datagram_counts[0];
    if (count == 1) {
        socket->counts.send_failed_count++;
        remove_first(gather);
        return;
    }
    socket->counts.run_refused_count++;
    gather->single_count = count;
    gather->refused_bytes = refused_bytes(gather, error_number);
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
        meet_error(socket, errno);
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
    gather->peers[slot].address_bytes = 0;
    if (peer != NULL) {
        CHECK(peer->address_bytes <= sizeof peer->address);
        memcpy(&gather->peers[slot].address, &peer->address, peer->address_bytes);
        gather->peers[slot].address_bytes = peer->address_bytes;
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
