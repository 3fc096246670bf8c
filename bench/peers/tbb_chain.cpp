#include "bench/peers/peers.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include <oneapi/tbb/parallel_pipeline.h>

namespace
{

constexpr std::size_t in_flight_max = 512;

/* Buffers are used in turn: at most in_flight_max messages are under way, and they come back in order. */
struct pool {
    explicit pool(std::size_t message_bytes) : bytes(message_bytes), memory(message_bytes * in_flight_max), text(bytes)
    {
    }
    char *fill()
    {
        char *message = &memory[number % in_flight_max * bytes];
        std::memcpy(text.data(), &number, sizeof number);
        std::memcpy(message, text.data(), bytes);
        number++;
        return message;
    }
    std::size_t bytes;
    std::vector<char> memory;
    std::vector<char> text;
    std::uint64_t number = 0;
};

/* Waits for a while in which the other thread works. */
void wait_for(double seconds)
{
    std::mutex mutex;
    std::condition_variable never;
    std::unique_lock<std::mutex> lock(mutex);
    never.wait_for(lock, std::chrono::duration<double>(seconds), [] { return false; });
}

} // namespace

bool tbb_chain_run(void *context, double seconds, double *figures)
{
    namespace tbb = oneapi::tbb;
    const auto *settings = static_cast<const peer_chain *>(context);
    pool messages(settings->bytes);
    std::atomic<bool> stop{false};
    std::atomic<std::uint64_t> count{0};

    tbb::filter<void, char *> chain =
        tbb::make_filter<void, char *>(tbb::filter_mode::serial_in_order, [&](tbb::flow_control &control) -> char * {
            if (stop.load(std::memory_order_relaxed)) {
                control.stop();
                return nullptr;
            }
            return messages.fill();
        });
    for (unsigned i = 2; i < settings->stage_count; i++)
        chain = chain & tbb::make_filter<char *, char *>(tbb::filter_mode::serial_in_order,
                                                         [](char *message) { return message; });
    tbb::filter<void, void> whole =
        chain & tbb::make_filter<char *, void>(tbb::filter_mode::serial_in_order, [&](char *) {
            count.store(count.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
        });

    std::thread runner([&] { tbb::parallel_pipeline(in_flight_max, whole); });
    wait_for(seconds / 5);
    const auto start = std::chrono::steady_clock::now();
    const std::uint64_t start_count = count.load(std::memory_order_relaxed);
    wait_for(seconds);
    const std::uint64_t done = count.load(std::memory_order_relaxed) - start_count;
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
    stop.store(true, std::memory_order_relaxed);
    runner.join();
    figures[0] = static_cast<double>(done) / time.count();
    return true;
}
