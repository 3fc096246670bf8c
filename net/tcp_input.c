/* Complete frames are handed on where the read put them, without a copy. */
#include "net/tcp_input.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/uio.h>

#include "engine/check.h"
#include "net/lhhttt.h"
#include "net/tcp_stream.h"

/* Says what is wrong, to the peer and to the owner, and reads no more. */
static void refuse(struct tcp_stream *stream, const char *why)
{
    stream->set->counts.malformed_count++;
    tcp_send(stream, "ERR ", 4, why, strlen(why));
    tcp_stream_finish(stream, TCP_END_MALFORMED, why);
}

static void refuse_header(struct tcp_stream *stream, const unsigned char *data, size_t length)
{
    char why[TCP_WHY_BYTES];
    size_t header_length;
    uint64_t text_length;
    /* The offending byte is the last one of the shortest beginning that is already wrong. */
    size_t bad = 1;
    while (bad < length && lhhttt_read_header(data, bad, &header_length, &text_length) != STATUS_INPUT)
        bad++;
    unsigned byte = data[bad - 1];
    if (bad == 1)
        snprintf(why, sizeof why, "malformed frame: it must begin with a hex digit 1 to f, not with byte 0x%02x", byte);
    else
        snprintf(why, sizeof why, "malformed frame: byte 0x%02x in its length is no hex digit", byte);
    refuse(stream, why);
}

static void refuse_length(struct tcp_stream *stream, uint64_t text_length)
{
    char why[TCP_WHY_BYTES];
    snprintf(why, sizeof why, "message of %llu bytes is above the limit of %llu bytes", (unsigned long long)text_length,
             (unsigned long long)stream->set->limits.frame_bytes_max);
    refuse(stream, why);
}

/* Whether to go on after a frame. Answers that the peer does not take stop the reading of more questions. */
static bool may_go_on(struct tcp_stream *stream)
{
    size_t unsent_bytes_max = stream->set->limits.unsent_bytes_max;
    if (stream->state == TCP_STREAM_OPEN && tcp_stream_unsent(stream) > unsent_bytes_max) {
        tcp_stream_write(stream);
        if (stream->state == TCP_STREAM_OPEN && tcp_stream_unsent(stream) > unsent_bytes_max)
            stream->blocked = true;
    }
    return stream->state == TCP_STREAM_OPEN && !stream->blocked && !stream->set->quiet;
}

/* Hands on the complete frames at the start of `data`. Returns how many bytes they were. */
static size_t hand_on(struct tcp_stream *stream, const unsigned char *data, size_t length)
{
    const struct tcp_stream_set *set = stream->set;
    size_t done = 0;
    stream->frame_bytes = 0;
    if (set->handlers.batch != NULL)
        set->handlers.batch(set->handlers.context);
    while (done < length) {
        size_t header_length;
        uint64_t text_length;
        enum status status = lhhttt_read_header(data + done, length - done, &header_length, &text_length);
        if (status == STATUS_AGAIN)
            break;
        if (status != STATUS_OK) {
            refuse_header(stream, data + done, length - done);
            break;
        }
        if (text_length > set->limits.frame_bytes_max) {
            refuse_length(stream, text_length);
            break;
        }
        if (text_length > length - done - header_length) {
            stream->frame_bytes = header_length + text_length;
            break;
        }
        set->handlers.frame(set->handlers.context, stream, data + done + header_length, (size_t)text_length);
        done += header_length + (size_t)text_length;
        if (!may_go_on(stream))
            break;
    }
    return done;
}

/* Hands on what is complete in bytes that lie in the scratch buffer, and keeps the rest. `input` is empty. */
static void take_scratch(struct tcp_stream *stream, size_t length)
{
    const unsigned char *data = stream->set->scratch;
    size_t done = hand_on(stream, data, length);
    if (done == length || (stream->state != TCP_STREAM_OPEN))
        return;
    struct tcp_buffer *input = &stream->input;
    CHECK(input->length == 0);
    tcp_buffer_reserve(input, length - done);
    memcpy(input->bytes, data + done, length - done);
    input->length = length - done;
}

static void end_of_input(struct tcp_stream *stream)
{
    /* What it asked before is answered still: the peer may have closed its direction only. */
    if (stream->input.length > 0)
        tcp_stream_finish(stream, TCP_END_CUT, "the peer closed the connection within a frame");
    else
        tcp_stream_finish(stream, TCP_END_PEER, "the peer closed the connection");
}

/* Whether a read brought bytes; if not, does what there is to do. */
static bool has_read(struct tcp_stream *stream, ssize_t result)
{
    if (result > 0)
        return true;
    if (result == 0)
        end_of_input(stream);
    else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
        tcp_stream_broke(stream, errno);
    return false;
}

/* Between frames, or within a header: reads behind the few bytes that are there already. */
static void read_frames(struct tcp_stream *stream)
{
    unsigned char *scratch = stream->set->scratch;
    struct tcp_buffer *input = &stream->input;
    size_t carried = input->length;
    CHECK(carried < LHHTTT_HEADER_BYTES_MAX);
    if (carried > 0)
        memcpy(scratch, input->bytes + input->first, carried);
    /* recv: it takes fewer layers than readv. */
    ssize_t result = recv(stream->source.fd, scratch + carried, TCP_SCRATCH_BYTES - carried, MSG_DONTWAIT);
    if (!has_read(stream, result))
        return;
    tcp_buffer_consume(input, carried);
    take_scratch(stream, carried + (size_t)result);
}

/* Within a text: its rest goes where its beginning is, what follows it into the scratch buffer. The buffer grows as
 * bytes arrive, to twice what is there, not to what the header announced. */
static void read_text(struct tcp_stream *stream)
{
    struct tcp_buffer *input = &stream->input;
    size_t missing = (size_t)stream->frame_bytes - input->length;
    if (input->first + input->length == input->capacity)
        tcp_buffer_reserve(input, 1);
    size_t room = input->capacity - input->first - input->length;
    if (room > missing)
        room = missing;
    struct iovec spans[2] = {
        {.iov_base = input->bytes + input->first + input->length, .iov_len = room},
        {.iov_base = stream->set->scratch, .iov_len = TCP_SCRATCH_BYTES},
    };
    ssize_t result = readv(stream->source.fd, spans, room == missing ? 2 : 1);
    if (!has_read(stream, result))
        return;
    if ((size_t)result < missing) {
        input->length += (size_t)result;
        return;
    }
    input->length += missing;
    size_t frame_bytes = input->length;
    size_t done = hand_on(stream, input->bytes + input->first, frame_bytes);
    if (stream->state != TCP_STREAM_OPEN)
        return;
    CHECK(done == frame_bytes);
    tcp_buffer_consume(input, frame_bytes);
    size_t rest = (size_t)result - missing;
    if (rest == 0)
        return;
    if (!stream->blocked && !stream->set->quiet) {
        take_scratch(stream, rest);
        return;
    }
    tcp_buffer_reserve(input, rest);
    memcpy(input->bytes, stream->set->scratch, rest);
    input->length = rest;
}

/* Goes on with what was kept while the stream was blocked. */
static void resume(struct tcp_stream *stream)
{
    struct tcp_buffer *input = &stream->input;
    stream->blocked = false;
    if (input->length == 0)
        return;
    size_t done = hand_on(stream, input->bytes + input->first, input->length);
    if (stream->state != TCP_STREAM_DEAD)
        tcp_buffer_consume(input, done);
}

void tcp_input_ready(struct tcp_stream *stream, uint32_t events)
{
    if (stream->set->quiet)
        return;
    if (stream->blocked) {
        if (tcp_stream_unsent(stream) <= stream->set->limits.unsent_bytes_max / 2)
            resume(stream);
        return;
    }
    if ((events & (EPOLLIN | EPOLLERR | EPOLLHUP)) == 0)
        return;
    if (stream->frame_bytes > 0)
        read_text(stream);
    else
        read_frames(stream);
}
