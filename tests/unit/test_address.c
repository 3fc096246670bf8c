/* Addresses: what is one, what the error texts advise, and which target reaches which listener. */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/address.h"

static struct address parse(const char *text)
{
    struct address address;
    struct error error = {0};
    enum status status = address_parse(text, &address, &error);
    if (status != STATUS_OK)
        fail_msg("'%s': %s", text, error.text);
    assert_string_equal(address.text, text);
    return address;
}

static void check_v4(const char *text, enum address_scheme scheme, uint32_t host, uint16_t port)
{
    struct address address = parse(text);
    assert_int_equal(address.scheme, scheme);
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&address.socket_address;
    assert_int_equal(v4->sin_family, AF_INET);
    assert_int_equal(address.socket_address_bytes, sizeof *v4);
    assert_int_equal(ntohl(v4->sin_addr.s_addr), host);
    assert_int_equal(ntohs(v4->sin_port), port);
}

static void test_ipv4(void **state)
{
    (void)state;
    check_v4("127.0.0.1:10000", ADDRESS_UDP, 0x7f000001, 10000);
    check_v4("udp://127.0.0.1:10000", ADDRESS_UDP, 0x7f000001, 10000);
    check_v4("tcp://10.1.2.3:65535", ADDRESS_TCP, 0x0a010203, 65535);
    check_v4("0.0.0.0:0", ADDRESS_UDP, 0, 0);
    check_v4("tcp://127.0.0.1:0", ADDRESS_TCP, 0x7f000001, 0);
    check_v4("127.0.0.1:00080", ADDRESS_UDP, 0x7f000001, 80);
}

static void test_localhost_is_ipv4(void **state)
{
    (void)state;
    check_v4("localhost:5000", ADDRESS_UDP, 0x7f000001, 5000);
    check_v4("tcp://LocalHost:5000", ADDRESS_TCP, 0x7f000001, 5000);
}

static void test_ipv6(void **state)
{
    (void)state;
    struct address address = parse("[::1]:10000");
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&address.socket_address;
    assert_int_equal(v6->sin6_family, AF_INET6);
    assert_int_equal(address.socket_address_bytes, sizeof *v6);
    assert_true(IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr));
    assert_int_equal(ntohs(v6->sin6_port), 10000);
    assert_int_equal(parse("tcp://[2001:db8::1]:1").scheme, ADDRESS_TCP);
    assert_int_equal(parse("udp://[::]:0").scheme, ADDRESS_UDP);
}

static void test_names(void **state)
{
    (void)state;
    assert_int_equal(parse("a").scheme, ADDRESS_NAME);
    assert_int_equal(parse("raw_orders-2.b").scheme, ADDRESS_NAME);
    assert_int_equal(parse("localhost").scheme, ADDRESS_NAME);
    char longest[ADDRESS_TEXT_MAX + 1];
    memset(longest, 'x', ADDRESS_TEXT_MAX);
    longest[ADDRESS_TEXT_MAX] = '\0';
    assert_int_equal(parse(longest).scheme, ADDRESS_NAME);
}

static void refused(const char *text, const char *part)
{
    struct address address;
    struct error error = {0};
    assert_int_equal(address_parse(text, &address, &error), STATUS_USAGE);
    if (strstr(error.text, part) == NULL)
        fail_msg("'%s': '%s' does not say '%s'", text, error.text, part);
}

static void test_refusals_name_the_remedy(void **state)
{
    (void)state;
    refused("", "write HOST:PORT");
    refused("127.0.0.1:99999", "'127.0.0.1:99999' is no address: the port must be 0 to 65535");
    refused("127.0.0.1:65536", "the port must be 0 to 65535");
    refused("127.0.0.1:4294967376", "the port must be 0 to 65535");
    refused("127.0.0.1:", "the port must be");
    refused("127.0.0.1:-1", "the port must be");
    refused("127.0.0.1: 1", "the port must be");
    refused("127.0.0.1:1x", "the port must be");
    refused("127.0.0.1:http", "the port must be");
    refused(":10000", "the host is missing");
    refused("::1:10000", "in brackets, such as [::1]:10000");
    refused("tcp://::1:10000", "in brackets");
    refused("[::1:10000", "']'");
    refused("[::1]", "[IPv6]:PORT");
    refused("[::1]10000", "[IPv6]:PORT");
    refused("[127.0.0.1]:1", "no IPv6 address");
    refused("[]:1", "no IPv6 address");
    refused("tcp://", "the port is missing");
    refused("tcp://127.0.0.1", "the port is missing");
    refused("http://127.0.0.1:1", "udp:// and tcp://");
    refused("1name", "begins with a letter");
    refused("na me", "begins with a letter");
    refused("-name", "begins with a letter");
    refused("name\xc3\xa9", "begins with a letter");
    refused("a..b:1", "'a..b:1': host not found");
}

static void test_too_long(void **state)
{
    (void)state;
    char text[ADDRESS_TEXT_MAX + 2];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    refused(text, "longer than 255");
}

/* target, listener, whether the one reaches the other. */
static void reaches(const char *target, const char *listener, bool expected)
{
    struct address from = parse(target);
    struct address to = parse(listener);
    if (address_reaches(&from, &to) != expected)
        fail_msg("%s %s %s", target, expected ? "should reach" : "should not reach", listener);
}

static void test_reaches(void **state)
{
    (void)state;
    reaches("127.0.0.1:1", "127.0.0.1:1", true);
    reaches("udp://127.0.0.1:1", "127.0.0.1:1", true);
    reaches("localhost:1", "127.0.0.1:1", true);
    reaches("127.0.0.1:1", "127.0.0.1:2", false);
    reaches("127.0.0.1:1", "127.0.0.2:1", false);
    reaches("tcp://127.0.0.1:1", "127.0.0.1:1", false);
    reaches("tcp://127.0.0.1:1", "tcp://127.0.0.1:1", true);
    reaches("127.0.0.1:0", "127.0.0.1:0", false);

    reaches("127.0.0.1:1", "0.0.0.0:1", true);
    reaches("127.9.9.9:1", "0.0.0.0:1", true);
    reaches("0.0.0.0:1", "0.0.0.0:1", true);
    reaches("0.0.0.0:1", "127.0.0.1:1", true);
    reaches("10.0.0.1:1", "0.0.0.0:1", false);
    reaches("10.0.0.1:1", "127.0.0.1:1", false);
    reaches("127.0.0.1:2", "0.0.0.0:1", false);
    reaches("127.0.0.1:1", "tcp://0.0.0.0:1", false);

    reaches("[::1]:1", "[::1]:1", true);
    reaches("[::1]:1", "[::]:1", true);
    reaches("[::]:1", "[::]:1", true);
    reaches("127.0.0.1:1", "[::]:1", true);
    reaches("[::1]:1", "0.0.0.0:1", false);
    reaches("[::ffff:127.0.0.1]:1", "127.0.0.1:1", true);
    reaches("[2001:db8::1]:1", "[::]:1", false);

    reaches("orders", "orders", true);
    reaches("orders", "Orders", false);
    reaches("orders", "127.0.0.1:1", false);
}

static void same(const char *one, const char *other, bool expected)
{
    struct address first = parse(one);
    struct address second = parse(other);
    if (address_same(&first, &second) != expected || address_same(&second, &first) != expected)
        fail_msg("%s and %s should %sbe the same", one, other, expected ? "" : "not ");
}

static void test_same(void **state)
{
    (void)state;
    same("127.0.0.1:1", "udp://127.0.0.1:1", true);
    same("127.0.0.1:1", "localhost:1", true);
    same("127.0.0.1:1", "tcp://127.0.0.1:1", false);
    same("127.0.0.1:1", "127.0.0.1:2", false);
    same("127.0.0.1:1", "127.0.0.2:1", false);
    same("127.0.0.1:0", "127.0.0.1:0", false);
    same("127.0.0.1:1", "0.0.0.0:1", true);
    same("10.0.0.1:1", "0.0.0.0:1", true);
    same("127.0.0.1:1", "[::]:1", true);
    same("[::1]:1", "[::]:1", true);
    same("[::1]:1", "0.0.0.0:1", false);
    same("[::1]:1", "127.0.0.1:1", false);
    same("orders", "orders", true);
    same("orders", "fills", false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ipv4),
        cmocka_unit_test(test_localhost_is_ipv4),
        cmocka_unit_test(test_ipv6),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_refusals_name_the_remedy),
        cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_reaches),
        cmocka_unit_test(test_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
