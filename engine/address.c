#include "engine/address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>

#include "engine/check.h"

enum { PORT_MAX = 65535 };

/* The two halves of HOST:PORT, cut out of the user's text. */
struct host_port {
    char host[ADDRESS_TEXT_MAX + 1];
    const char *port;
    bool bracketed;
};

/* Whom a socket address means, in one form for both families. */
struct place {
    bool is_v6;
    bool is_wildcard;
    bool is_loopback;
    uint16_t port;
    unsigned char host[16]; /* IPv4: the first 4 bytes */
    uint32_t scope;
};

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_name(const char *text)
{
    if (!is_letter(text[0]))
        return false;
    for (const char *at = text; *at != '\0'; at++)
        if (!is_letter(*at) && !is_digit(*at) && *at != '_' && *at != '-' && *at != '.')
            return false;
    return true;
}

static bool starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

/* Takes the scheme off. NULL: a scheme that is none of ours. */
static const char *read_scheme(const char *text, enum address_scheme *scheme)
{
    *scheme = ADDRESS_UDP;
    if (starts_with(text, "udp://"))
        return text + strlen("udp://");
    if (starts_with(text, "tcp://")) {
        *scheme = ADDRESS_TCP;
        return text + strlen("tcp://");
    }
    if (strstr(text, "://") != NULL)
        return NULL;
    if (strchr(text, ':') == NULL)
        *scheme = ADDRESS_NAME;
    return text;
}

static enum status split_bracketed(const char *text, const char *rest, struct host_port *parts, struct error *error)
{
    const char *end = strchr(rest, ']');
    if (end == NULL)
        return error_set(error, STATUS_USAGE, "'%s' is no address: the ']' behind the IPv6 address is missing", text);
    if (end[1] != ':')
        return error_set(error, STATUS_USAGE, "'%s' is no address: write [IPv6]:PORT, such as [::1]:10000", text);
    size_t length = (size_t)(end - rest) - 1;
    memcpy(parts->host, rest + 1, length);
    parts->host[length] = '\0';
    parts->port = end + 2;
    parts->bracketed = true;
    return STATUS_OK;
}

static enum status split_host_port(const char *text, const char *rest, struct host_port *parts, struct error *error)
{
    if (rest[0] == '[')
        return split_bracketed(text, rest, parts, error);
    const char *colon = strrchr(rest, ':');
    if (colon == NULL)
        return error_set(error, STATUS_USAGE, "'%s' is no address: the port is missing; write HOST:PORT", text);
    if (memchr(rest, ':', (size_t)(colon - rest)) != NULL)
        return error_set(error, STATUS_USAGE,
                         "'%s' is no address: write an IPv6 address in brackets, such as [::1]:10000", text);
    if (colon == rest)
        return error_set(error, STATUS_USAGE,
                         "'%s' is no address: the host is missing; write HOST:PORT, such as 127.0.0.1:10000", text);
    memcpy(parts->host, rest, (size_t)(colon - rest));
    parts->host[colon - rest] = '\0';
    parts->port = colon + 1;
    parts->bracketed = false;
    return STATUS_OK;
}

static bool is_port(const char *text)
{
    unsigned value = 0;
    if (*text == '\0')
        return false;
    for (const char *at = text; *at != '\0'; at++) {
        if (!is_digit(*at))
            return false;
        value = value * 10 + (unsigned)(*at - '0');
        if (value > PORT_MAX)
            return false;
    }
    return true;
}

static int look_up(const struct host_port *parts, int family, int flags, struct address *address)
{
    struct addrinfo hints = {
        .ai_family = family,
        .ai_socktype = address->scheme == ADDRESS_TCP ? SOCK_STREAM : SOCK_DGRAM,
        .ai_flags = AI_NUMERICSERV | flags,
    };
    struct addrinfo *found = NULL;
    int result = getaddrinfo(parts->host, parts->port, &hints, &found);
    if (result != 0)
        return result;
    CHECK(found->ai_addrlen <= sizeof address->socket_address);
    memcpy(&address->socket_address, found->ai_addr, found->ai_addrlen);
    address->socket_address_bytes = found->ai_addrlen;
    freeaddrinfo(found);
    return 0;
}

static enum status resolve(const struct host_port *parts, struct address *address, struct error *error)
{
    if (parts->bracketed) {
        if (look_up(parts, AF_INET6, AI_NUMERICHOST, address) != 0)
            return error_set(error, STATUS_USAGE, "'%s' is no address: '%s' is no IPv6 address", address->text,
                             parts->host);
        return STATUS_OK;
    }
    /* The documents' programs listen at 127.0.0.1, and a resolver may put ::1 first. */
    if (strcasecmp(parts->host, "localhost") == 0 && look_up(parts, AF_INET, 0, address) == 0)
        return STATUS_OK;
    int result = look_up(parts, AF_UNSPEC, 0, address);
    if (result == EAI_AGAIN)
        return error_set(error, STATUS_USAGE,
                         "'%s': host not found: the name server for '%s' does not answer; try again, or write an IP "
                         "address",
                         address->text, parts->host);
    if (result != 0)
        return error_set(error, STATUS_USAGE, "'%s': host not found: check the name '%s', or write an IP address (%s)",
                         address->text, parts->host, gai_strerror(result));
    return STATUS_OK;
}

enum status address_parse(const char *text, struct address *address, struct error *error)
{
    *address = (struct address){0};
    size_t length = strlen(text);
    if (length == 0)
        return error_set(error, STATUS_USAGE, "'' is no address: write HOST:PORT, such as 127.0.0.1:10000");
    if (length > ADDRESS_TEXT_MAX)
        return error_set(error, STATUS_USAGE, "'%.32s...' is no address: it is longer than %d characters", text,
                         (int)ADDRESS_TEXT_MAX);
    memcpy(address->text, text, length + 1);

    const char *rest = read_scheme(text, &address->scheme);
    if (rest == NULL)
        return error_set(error, STATUS_USAGE, "'%s' is no address: the schemes are udp:// and tcp://", text);
    if (address->scheme == ADDRESS_NAME) {
        if (!is_name(text))
            return error_set(error, STATUS_USAGE,
                             "'%s' is no address: write HOST:PORT, or a name that begins with a letter and holds "
                             "letters, digits, '_', '-' and '.'",
                             text);
        return STATUS_OK;
    }
    struct host_port parts = {.port = ""};
    enum status status = split_host_port(text, rest, &parts, error);
    if (status != STATUS_OK)
        return status;
    if (!is_port(parts.port))
        return error_set(error, STATUS_USAGE, "'%s' is no address: the port must be 0 to %d", text, (int)PORT_MAX);
    return resolve(&parts, address, error);
}

static void read_v4(struct place *place, const void *host)
{
    memcpy(place->host, host, 4);
    place->is_v6 = false;
    place->is_wildcard = memcmp(host, "\0\0\0\0", 4) == 0;
    place->is_loopback = place->host[0] == 127;
}

static struct place place_of(const struct address *address)
{
    struct place place = {0};
    if (address->socket_address.ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)&address->socket_address;
        place.port = ntohs(v4->sin_port);
        read_v4(&place, &v4->sin_addr);
        return place;
    }
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&address->socket_address;
    place.port = ntohs(v6->sin6_port);
    if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
        read_v4(&place, &v6->sin6_addr.s6_addr[12]);
        return place;
    }
    place.is_v6 = true;
    place.scope = v6->sin6_scope_id;
    memcpy(place.host, &v6->sin6_addr, sizeof place.host);
    place.is_wildcard = IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr);
    place.is_loopback = IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
    return place;
}

static bool same_host(const struct place *one, const struct place *other)
{
    return one->is_v6 == other->is_v6 && one->scope == other->scope &&
           memcmp(one->host, other->host, sizeof one->host) == 0;
}

/* Linux sends what goes to the wildcard address to the loopback address. */
static void aim_at_loopback(struct place *target)
{
    if (!target->is_wildcard)
        return;
    target->is_wildcard = false;
    target->is_loopback = true;
    if (target->is_v6)
        target->host[15] = 1;
    else
        memcpy(target->host, "\x7f\0\0\x01", 4);
}

unsigned address_port(const struct address *address)
{
    return address->scheme == ADDRESS_NAME ? 0 : place_of(address).port;
}

bool address_reaches(const struct address *target, const struct address *listener)
{
    if (target->scheme != listener->scheme)
        return false;
    if (target->scheme == ADDRESS_NAME)
        return strcmp(target->text, listener->text) == 0;
    struct place from = place_of(target);
    struct place to = place_of(listener);
    /* With port 0 the kernel picks one later: nobody can mean it. */
    if (from.port != to.port || to.port == 0)
        return false;
    aim_at_loopback(&from);
    if (same_host(&from, &to))
        return true;
    /* [::] takes IPv4 too (net/socket.c turns IPV6_V6ONLY off), 0.0.0.0 takes no IPv6. */
    return to.is_wildcard && from.is_loopback && (to.is_v6 || !from.is_v6);
}

bool address_same(const struct address *one, const struct address *other)
{
    if (one->scheme != other->scheme)
        return false;
    if (one->scheme == ADDRESS_NAME)
        return strcmp(one->text, other->text) == 0;
    struct place first = place_of(one);
    struct place second = place_of(other);
    if (first.port != second.port || first.port == 0)
        return false;
    if (same_host(&first, &second))
        return true;
    /* A wildcard listener takes the port of each host of its family; [::] of both. */
    return (first.is_wildcard && (first.is_v6 || !second.is_v6)) ||
           (second.is_wildcard && (second.is_v6 || !first.is_v6));
}
