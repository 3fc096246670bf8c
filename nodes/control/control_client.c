#include "nodes/control/control_client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "engine/check.h"
#include "engine/log.h"
#include "net/lhhttt.h"
#include "net/local_socket.h"

static const char *const unsure = "what was asked may have been done: see dead-letters ls";

enum status control_connect(int *connection, const char *directory, int64_t timeout_ns, struct error *error)
{
    *connection = local_socket_connect(directory, CONTROL_SOCKET_NAME, timeout_ns);
    if (*connection >= 0)
        return STATUS_OK;
    if (errno == ENOENT || errno == ENOTDIR || errno == ECONNREFUSED || errno == ENOTSOCK)
        return STATUS_CLOSED;
    if (errno == EAGAIN)
        return error_set(error, STATUS_SYSTEM, "the launch that has the store does not answer");
    return error_set_errno(error, errno, "%s/%s", directory, CONTROL_SOCKET_NAME);
}

static enum status ended(struct error *error)
{
    return error_set(error, STATUS_SYSTEM, "the launch ended, or turned this away, before it answered; %s", unsure);
}

static enum status broken(struct error *error)
{
    if (errno == EPIPE || errno == ECONNRESET)
        return ended(error);
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        return error_set(error, STATUS_SYSTEM, "the launch that has the store does not answer in time; %s", unsure);
    return error_set_errno(error, errno, "the launch that has the store did not answer (%s)", unsure);
}

static enum status send_all(int connection, const char *bytes, size_t length, struct error *error)
{
    while (length > 0) {
        ssize_t sent = send(connection, bytes, length, MSG_NOSIGNAL);
        if (sent < 0 && errno != EINTR)
            return broken(error);
        bytes += sent > 0 ? sent : 0;
        length -= sent > 0 ? (size_t)sent : 0;
    }
    return STATUS_OK;
}

/* A whole frame into `frame`; *text is within it. */
static enum status receive(int connection, char *frame, size_t frame_bytes, const char **text, size_t *text_length,
                           struct error *error)
{
    size_t length = 0;
    for (;;) {
        size_t header_length = 0;
        uint64_t announced = 0;
        enum status status = lhhttt_read_header(frame, length, &header_length, &announced);
        if (status == STATUS_INPUT || (status == STATUS_OK && announced > frame_bytes - header_length))
            return error_set(error, STATUS_SYSTEM, "the launch's answer is none; %s", unsure);
        if (status == STATUS_OK && length >= header_length + announced) {
            *text = frame + header_length;
            *text_length = (size_t)announced;
            return STATUS_OK;
        }
        ssize_t received = recv(connection, frame + length, frame_bytes - length, 0);
        if (received == 0)
            return ended(error);
        if (received < 0 && errno != EINTR)
            return broken(error);
        length += received > 0 ? (size_t)received : 0;
    }
}

static enum status take_answer(const char *text, size_t length, size_t count, enum control_outcome *outcomes,
                               struct error *error)
{
    static const char good[] = "OK:";
    static const char bad[] = "ERR ";
    char quoted[256];
    if (length == sizeof good - 1 + count && memcmp(text, good, sizeof good - 1) == 0) {
        for (size_t i = 0; i < count; i++)
            outcomes[i] = (enum control_outcome)(unsigned char)text[sizeof good - 1 + i];
        return STATUS_OK;
    }
    bool is_refusal = length >= sizeof bad - 1 && memcmp(text, bad, sizeof bad - 1) == 0;
    if (is_refusal)
        return error_set(error, STATUS_SYSTEM, "the launch refuses: %s",
                         log_quote(text + sizeof bad - 1, length - (sizeof bad - 1), quoted, sizeof quoted));
    return error_set(error, STATUS_SYSTEM, "the launch's answer is '%s'; %s",
                     log_quote(text, length, quoted, sizeof quoted), unsure);
}

enum status control_ask(int connection, enum control_verb verb, const struct control_letter *letters, size_t count,
                        enum control_outcome *outcomes, struct error *error)
{
    char *request = malloc(CONTROL_REQUEST_BYTES_MAX + 1);
    char *frame = malloc(LHHTTT_HEADER_BYTES_MAX + CONTROL_ANSWER_BYTES_MAX);
    CHECK(request != NULL && frame != NULL);
    char header[LHHTTT_HEADER_BYTES_MAX];
    size_t request_length = control_request_write(request, verb, letters, count);
    const char *text = "";
    size_t text_length = 0;
    enum status status = send_all(connection, header, lhhttt_write_header(request_length, header), error);
    if (status == STATUS_OK)
        status = send_all(connection, request, request_length, error);
    if (status == STATUS_OK)
        status =
            receive(connection, frame, LHHTTT_HEADER_BYTES_MAX + CONTROL_ANSWER_BYTES_MAX, &text, &text_length, error);
    if (status == STATUS_OK)
        status = take_answer(text, text_length, count, outcomes, error);
    free(frame);
    free(request);
    return status;
}
