#include "net/http_post.h"

#include <curl/curl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

#include "engine/check.h"
#include "engine/clock.h"
#include "net/http_post_private.h"

enum {
    POSTER_MAGIC = 0x68747470,
    TRY_COUNT = 3,
    ANSWER_BYTES_MAX = 64 << 10, /* of an answer's body, which nobody reads */
    POLL_MS_MAX = 1000,
};

static const struct http_post_times default_times = {.try_ms = 2000, .back_off_ns = 200 * NS_PER_MS};

struct post {
    TAILQ_ENTRY(post) place;
    size_t length;
    char body[];
};

TAILQ_HEAD(post_list, post);

/* One of the posts that are under way; the poster's thread only. */
struct slot {
    struct http_poster *poster;
    CURL *curl;
    struct post *post; /* NULL: free */
    bool sending;      /* else it waits for next_try_ns */
    unsigned tried_count;
    int64_t next_try_ns;
    size_t answer_bytes;
    char error_text[CURL_ERROR_SIZE];
};

enum hub_state { HUB_UNKNOWN, HUB_WORKS, HUB_FAILS };

struct http_poster {
    int magic;
    char *uri;
    struct http_post_times times;
    http_post_observer *observer;
    void *context;
    pthread_t thread;
    _Atomic uint64_t delivered_count, retried_count, dropped_count;

    /* Guards the next five. Held for moves of pointers and numbers only: no allocation, no system call, no libcurl; so
     * the owner's thread never waits for the network behind it. */
    pthread_mutex_t lock;
    struct post_list waiting;
    size_t waiting_count, under_way_count;
    bool stopping;
    int64_t stop_ns; /* stopping: when to give up */

    /* The thread's own, but for curl_multi_wakeup. */
    CURLM *multi;
    struct curl_slist *headers;
    enum hub_state hub;
    struct slot slots[HTTP_POST_PARALLEL_MAX];
};

/* ---- one try ---- */

static size_t discard_answer(char *data, size_t size, size_t count, void *context)
{
    struct slot *slot = context;
    (void)data;
    slot->answer_bytes += size * count;
    return slot->answer_bytes <= ANSWER_BYTES_MAX ? size * count : 0; /* 0: ends the transfer */
}

static void prepare_curl(struct slot *slot)
{
    struct http_poster *poster = slot->poster;
    CURL *curl = curl_easy_init();
    CHECK(curl != NULL);
    slot->curl = curl;
    CURLcode result = curl_easy_setopt(curl, CURLOPT_URL, poster->uri);
    result |= curl_easy_setopt(curl, CURLOPT_PRIVATE, slot);
    result |= curl_easy_setopt(curl, CURLOPT_POST, 1L);
    result |= curl_easy_setopt(curl, CURLOPT_HTTPHEADER, poster->headers);
    result |= curl_easy_setopt(curl, CURLOPT_USERAGENT, "millrace");
    result |= curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, poster->times.try_ms);
    result |= curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    result |= curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    result |= curl_easy_setopt(curl, CURLOPT_PROXY, ""); /* not what http_proxy in the environment says */
    result |= curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    /* A name server that does not answer must not hold up the other posts, nor the end. */
    result |= curl_easy_setopt(curl, CURLOPT_QUICK_EXIT, 1L);
    result |= curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, discard_answer);
    result |= curl_easy_setopt(curl, CURLOPT_WRITEDATA, slot);
    result |= curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, slot->error_text);
    CHECK(result == CURLE_OK);
}

static void start_try(struct slot *slot)
{
    if (slot->curl == NULL)
        prepare_curl(slot);
    slot->sending = true;
    slot->tried_count++;
    slot->answer_bytes = 0;
    slot->error_text[0] = '\0';
    const char *body = slot->post->body;
    CURLcode result = curl_easy_setopt(slot->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)slot->post->length);
    result |= curl_easy_setopt(slot->curl, CURLOPT_POSTFIELDS, body);
    CHECK(result == CURLE_OK);
    CHECK(curl_multi_add_handle(slot->poster->multi, slot->curl) == CURLM_OK);
}

/* ---- the end of a post ---- */

static void end_post(struct slot *slot)
{
    struct http_poster *poster = slot->poster;
    pthread_mutex_lock(&poster->lock);
    poster->under_way_count--;
    pthread_mutex_unlock(&poster->lock);
    free(slot->post);
    slot->post = NULL;
}

static void observe(struct http_poster *poster, enum hub_state hub, const char *reason)
{
    if (poster->hub == hub)
        return;
    poster->hub = hub;
    if (poster->observer != NULL)
        poster->observer(poster->context, hub == HUB_WORKS, reason);
}

/* Whether the same body may fare better another time. RFC 9110, 15.5: a client error is the request's own fault; 408
 * (time-out) and 429 (too many) say to come again. */
static bool is_worth_a_retry(long http_status)
{
    return http_status < 400 || http_status >= 500 || http_status == 408 || http_status == 429;
}

static void end_try(struct slot *slot, CURLcode result)
{
    struct http_poster *poster = slot->poster;
    long http_status = 0;
    (void)curl_easy_getinfo(slot->curl, CURLINFO_RESPONSE_CODE, &http_status);
    CHECK(curl_multi_remove_handle(poster->multi, slot->curl) == CURLM_OK);
    slot->sending = false;
    /* The hub has the body once it says 2xx, whatever becomes of the rest of its answer. */
    if (http_status >= 200 && http_status < 300) {
        atomic_fetch_add_explicit(&poster->delivered_count, 1, memory_order_relaxed);
        observe(poster, HUB_WORKS, "");
        end_post(slot);
        return;
    }
    char reason[CURL_ERROR_SIZE];
    if (http_status != 0)
        snprintf(reason, sizeof reason, "it answered with HTTP status %ld", http_status);
    else
        snprintf(reason, sizeof reason, "%s",
                 slot->error_text[0] != '\0' ? slot->error_text : curl_easy_strerror(result));
    observe(poster, HUB_FAILS, reason);
    if (slot->tried_count < TRY_COUNT && is_worth_a_retry(http_status)) {
        slot->next_try_ns = clock_monotonic_ns() + (poster->times.back_off_ns << (slot->tried_count - 1));
        return;
    }
    atomic_fetch_add_explicit(&poster->dropped_count, 1, memory_order_relaxed);
    end_post(slot);
}

/* ---- the thread ---- */

static struct post *take_waiting(struct http_poster *poster)
{
    pthread_mutex_lock(&poster->lock);
    struct post *post = TAILQ_FIRST(&poster->waiting);
    if (post != NULL) {
        TAILQ_REMOVE(&poster->waiting, post, place);
        poster->waiting_count--;
        poster->under_way_count++;
    }
    pthread_mutex_unlock(&poster->lock);
    return post;
}

/* Starts what there is room and time for. Returns when it wants to be called again at the latest. */
static int64_t start_tries(struct http_poster *poster, int64_t now_ns)
{
    int64_t next_ns = CLOCK_NEVER_NS;
    for (size_t i = 0; i < HTTP_POST_PARALLEL_MAX; i++) {
        struct slot *slot = &poster->slots[i];
        if (slot->post == NULL) {
            slot->post = take_waiting(poster);
            if (slot->post == NULL)
                continue;
            slot->tried_count = 0;
            start_try(slot);
        } else if (!slot->sending && now_ns >= slot->next_try_ns) {
            atomic_fetch_add_explicit(&poster->retried_count, 1, memory_order_relaxed);
            start_try(slot);
        } else if (!slot->sending && slot->next_try_ns < next_ns) {
            next_ns = slot->next_try_ns;
        }
    }
    return next_ns;
}

static void end_tries(struct http_poster *poster)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(poster->multi, &left)) != NULL) {
        if (message->msg != CURLMSG_DONE)
            continue;
        char *slot = NULL;
        CHECK(curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &slot) == CURLE_OK);
        end_try((struct slot *)(void *)slot, message->data.result);
    }
}

/* Whether the thread is to end; else *deadline_ns is when it will have to. */
static bool is_over(struct http_poster *poster, int64_t now_ns, int64_t *deadline_ns)
{
    pthread_mutex_lock(&poster->lock);
    bool empty = poster->waiting_count + poster->under_way_count == 0;
    bool over = poster->stopping && (empty || now_ns >= poster->stop_ns);
    *deadline_ns = poster->stopping ? poster->stop_ns : CLOCK_NEVER_NS;
    pthread_mutex_unlock(&poster->lock);
    return over;
}

static void drop_rest(struct http_poster *poster)
{
    for (size_t i = 0; i < HTTP_POST_PARALLEL_MAX; i++) {
        struct slot *slot = &poster->slots[i];
        if (slot->sending)
            CHECK(curl_multi_remove_handle(poster->multi, slot->curl) == CURLM_OK);
        if (slot->post != NULL) {
            atomic_fetch_add_explicit(&poster->dropped_count, 1, memory_order_relaxed);
            end_post(slot);
        }
        curl_easy_cleanup(slot->curl);
    }
    struct post *post;
    while ((post = take_waiting(poster)) != NULL) {
        atomic_fetch_add_explicit(&poster->dropped_count, 1, memory_order_relaxed);
        free(post);
    }
}

static int poll_ms(int64_t now_ns, int64_t until_ns)
{
    if (until_ns <= now_ns)
        return 0;
    int64_t wait_ms = (until_ns - now_ns) / NS_PER_MS + 1;
    return wait_ms < POLL_MS_MAX ? (int)wait_ms : POLL_MS_MAX;
}

static void *run(void *context)
{
    struct http_poster *poster = context;
    for (;;) {
        int running;
        CHECK(curl_multi_perform(poster->multi, &running) == CURLM_OK);
        end_tries(poster);
        int64_t now_ns = clock_monotonic_ns();
        int64_t next_ns = start_tries(poster, now_ns);
        int64_t deadline_ns;
        if (is_over(poster, now_ns, &deadline_ns))
            break;
        /* Returns earlier for libcurl's own times and for curl_multi_wakeup. */
        (void)curl_multi_poll(poster->multi, NULL, 0, poll_ms(now_ns, deadline_ns < next_ns ? deadline_ns : next_ns),
                              NULL);
    }
    drop_rest(poster);
    return NULL;
}

/* ---- open, send, close: the owner's thread ---- */

static void init_curl(void)
{
    (void)curl_global_init(CURL_GLOBAL_DEFAULT);
}

static bool is_http_uri(const char *uri)
{
    const char *rest;
    if (strncasecmp(uri, "http://", 7) == 0)
        rest = uri + 7;
    else if (strncasecmp(uri, "https://", 8) == 0)
        rest = uri + 8;
    else
        return false;
    if (rest[0] == '/') /* without a host; libcurl would take the path's first word for it */
        return false;
    CURLU *parsed = curl_url();
    CHECK(parsed != NULL);
    bool good = curl_url_set(parsed, CURLUPART_URL, uri, 0) == CURLUE_OK;
    curl_url_cleanup(parsed);
    return good;
}

static void free_poster(struct http_poster *poster)
{
    curl_multi_cleanup(poster->multi);
    curl_slist_free_all(poster->headers);
    pthread_mutex_destroy(&poster->lock);
    poster->magic = 0;
    free(poster->uri);
    free(poster);
}

static struct http_poster *new_poster(const char *uri, const struct http_post_times *times,
                                      http_post_observer *observer, void *context)
{
    struct http_poster *poster = calloc(1, sizeof *poster);
    CHECK(poster != NULL);
    poster->magic = POSTER_MAGIC;
    poster->uri = strdup(uri);
    poster->times = *times;
    poster->observer = observer;
    poster->context = context;
    CHECK(pthread_mutex_init(&poster->lock, NULL) == 0);
    TAILQ_INIT(&poster->waiting);
    for (size_t i = 0; i < HTTP_POST_PARALLEL_MAX; i++)
        poster->slots[i].poster = poster;
    poster->multi = curl_multi_init();
    poster->headers = curl_slist_append(NULL, "Content-Type: application/json");
    CHECK(poster->uri != NULL && poster->multi != NULL && poster->headers != NULL);
    /* No "Expect: 100-continue": a hub that does not know it would cost a large body a second. */
    CHECK(curl_slist_append(poster->headers, "Expect:") != NULL);
    return poster;
}

enum status http_post_open_with(struct http_poster **poster, const char *uri, const struct http_post_times *times,
                                http_post_observer *observer, void *context, struct error *error)
{
    /* libcurl keeps state of the process, which has to be made once. It is never unmade: another user of libcurl in the
     * process may have it too. */
    static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
    pthread_once(&curl_once, init_curl);
    if (!is_http_uri(uri))
        return error_set(error, STATUS_USAGE,
                         "'%.200s' is no URI to post to: write http://HOST:PORT/PATH or https://HOST:PORT/PATH", uri);
    struct http_poster *made = new_poster(uri, times, observer, context);
    /* The process's signals are none of this thread's business. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int result = pthread_create(&made->thread, NULL, run, made);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (result != 0) {
        free_poster(made);
        return error_set_errno(error, result, "cannot start the thread that posts to %.200s", uri);
    }
    (void)pthread_setname_np(made->thread, "http-post");
    *poster = made;
    return STATUS_OK;
}

enum status http_post_open(struct http_poster **poster, const char *uri, http_post_observer *observer, void *context,
                           struct error *error)
{
    return http_post_open_with(poster, uri, &default_times, observer, context, error);
}

void http_post_send(struct http_poster *poster, const char *body, size_t length)
{
    CHECK_MAGIC(poster, POSTER_MAGIC);
    struct post *post = malloc(sizeof *post + length);
    CHECK(post != NULL);
    post->length = length;
    if (length > 0)
        memcpy(post->body, body, length);

    struct post *pushed_out = NULL;
    pthread_mutex_lock(&poster->lock);
    if (poster->waiting_count + poster->under_way_count == HTTP_POST_PENDING_MAX) {
        pushed_out = TAILQ_FIRST(&poster->waiting); /* there is one: fewer than that are ever under way */
        TAILQ_REMOVE(&poster->waiting, pushed_out, place);
        poster->waiting_count--;
    }
    TAILQ_INSERT_TAIL(&poster->waiting, post, place);
    poster->waiting_count++;
    pthread_mutex_unlock(&poster->lock);

    if (pushed_out != NULL) {
        atomic_fetch_add_explicit(&poster->dropped_count, 1, memory_order_relaxed);
        free(pushed_out);
    }
    (void)curl_multi_wakeup(poster->multi);
}

struct http_post_counts http_post_counts(const struct http_poster *poster)
{
    CHECK_MAGIC(poster, POSTER_MAGIC);
    return (struct http_post_counts){
        .delivered_count = atomic_load_explicit(&poster->delivered_count, memory_order_relaxed),
        .retried_count = atomic_load_explicit(&poster->retried_count, memory_order_relaxed),
        .dropped_count = atomic_load_explicit(&poster->dropped_count, memory_order_relaxed),
    };
}

void http_post_close(struct http_poster **poster, int64_t grace_ns, struct http_post_counts *counts)
{
    struct http_poster *ending = *poster;
    if (ending == NULL)
        return;
    CHECK_MAGIC(ending, POSTER_MAGIC);
    int64_t now_ns = clock_monotonic_ns();
    pthread_mutex_lock(&ending->lock);
    ending->stopping = true;
    ending->stop_ns = grace_ns < CLOCK_NEVER_NS - now_ns ? now_ns + grace_ns : CLOCK_NEVER_NS;
    pthread_mutex_unlock(&ending->lock);
    (void)curl_multi_wakeup(ending->multi);
    CHECK(pthread_join(ending->thread, NULL) == 0);
    if (counts != NULL)
        *counts = http_post_counts(ending);
    free_poster(ending);
    *poster = NULL;
}
