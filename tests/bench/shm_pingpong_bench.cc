// SPDX-License-Identifier: Apache-2.0

// The round trip of 64 bytes through the transport shm, beside the floors that it stands on, in one run:
//
//   F_line   one cache line there and back, both sides spinning
//   F_sem    two process-shared semaphores, post and wait
//   shm      Reserve, Fill, Commit, Notify; Peek, CopyOut, Pop, Release; spinning, and sleeping at once
//
// Usage: shm_pingpong_bench [cpu of the client] [cpu of the server] [repetitions]

#include <sched.h>
#include <semaphore.h>
#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/cpu.h"
#include "base/cycle_clock.h"
#include "base/fd.h"
#include "base/limits.h"
#include "transport/shm/shm_pair.h"

namespace nearcall {
namespace {

using transport::Transport;

void PinTo(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (::sched_setaffinity(0, sizeof(set), &set) != 0) std::fprintf(stderr, "cannot run on CPU %d\n", cpu);
}

struct Result {
  double p50_us = 0;
  double p99_us = 0;
};

Result Summarise(std::vector<int64_t> ns) {
  std::sort(ns.begin(), ns.end());
  const auto at = [&](double share) {
    return static_cast<double>(ns[static_cast<size_t>(share * static_cast<double>(ns.size() - 1))]) / 1000;
  };
  return {.p50_us = at(0.5), .p99_us = at(0.99)};
}

// Two threads, each on its CPU: `echo` answers `count` times, `call` is timed `count` times.
class Pair {
 public:
  Pair(int client_cpu, int server_cpu) : client_cpu_(client_cpu), server_cpu_(server_cpu) {}

  Result Run(int count, const std::function<void(int)>& call, const std::function<void(int)>& echo) const {
    std::thread server([&] {
      PinTo(server_cpu_);
      for (int i = 0; i < count; ++i) echo(i);
    });
    PinTo(client_cpu_);
    std::vector<int64_t> times(static_cast<size_t>(count));
    int64_t last = base::CycleClock::NowNs();
    for (int i = 0; i < count; ++i) {
      call(i);
      const int64_t now = base::CycleClock::NowNs();
      times[static_cast<size_t>(i)] = now - last;
      last = now;
    }
    server.join();
    return Summarise(std::move(times));
  }

 private:
  int client_cpu_;
  int server_cpu_;
};

Result RunLine(const Pair& pair, int count) {
  alignas(128) static std::atomic<int> line;
  line = 0;
  return pair.Run(
      count,
      [](int i) {
        line.store(2 * i + 1, std::memory_order_release);
        while (line.load(std::memory_order_acquire) != 2 * i + 2) base::Pause();
      },
      [](int i) {
        while (line.load(std::memory_order_acquire) != 2 * i + 1) base::Pause();
        line.store(2 * i + 2, std::memory_order_release);
      });
}

Result RunSemaphores(const Pair& pair, int count) {
  alignas(128) static sem_t ask;
  alignas(128) static sem_t answer;
  ::sem_init(&ask, 1, 0);
  ::sem_init(&answer, 1, 0);
  return pair.Run(
      count,
      [](int) {
        ::sem_post(&ask);
        ::sem_wait(&answer);
      },
      [](int) {
        ::sem_wait(&ask);
        ::sem_post(&answer);
      });
}

using Frame = std::array<std::byte, 64>;

void Send(Transport& transport, const Frame& frame) {
  transport.Fill(transport.Reserve(frame.size(), 1), frame);
  transport.Commit();
  transport.Notify();
}

bool TryReceive(Transport& transport, Frame& frame) {
  size_t size = 0;
  if (transport.Peek(size) != Transport::ReadState::kFrame) return false;
  transport.CopyOut(0, frame);
  transport.Pop();
  transport.Release();
  return true;
}

// Receives in the way of one end: `sleep` is called when there is nothing.
template <typename Sleep>
void Receive(Transport& transport, Frame& frame, Sleep&& sleep) {
  while (!TryReceive(transport, frame)) sleep(transport);
}

void Spin(Transport&) {
  base::Pause();
}

void SleepInWait(Transport& transport) {
  if (transport.Arm(Transport::kFrames, 0)) return;
  transport.Wait(base::kNever);
  transport.Disarm();
}

template <typename ClientSleep, typename ServerSleep>
Result RunShm(const Pair& pair, int count, ClientSleep&& client_sleep, ServerSleep&& server_sleep,
              const transport::TransportPair& ends) {
  Frame request{};
  Frame reply{};
  Frame received{};
  return pair.Run(
      count,
      [&](int) {
        Send(*ends.client, request);
        Receive(*ends.client, reply, client_sleep);
      },
      [&](int) {
        Receive(*ends.server, received, server_sleep);
        Send(*ends.server, received);
      });
}

transport::TransportPair MakePair() {
  absl::StatusOr<transport::TransportPair> ends = transport::shm::MakeShmPair(base::kDefaultRingSize);
  if (ends.ok()) return *std::move(ends);
  std::fprintf(stderr, "%s\n", ends.status().ToString().c_str());
  std::exit(1);
}

Result RunShmSpinning(const Pair& pair, int count) {
  return RunShm(pair, count, Spin, Spin, MakePair());
}

Result RunShmBlocking(const Pair& pair, int count) {
  const transport::TransportPair ends = MakePair();
  const base::Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
  epoll_event event{.events = EPOLLIN | EPOLLET, .data = {}};
  ::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, ends.server->wait_fds().bell, &event);
  const auto sleep_in_epoll = [&](Transport& transport) {
    if (transport.Arm(Transport::kFrames, 0)) return;
    epoll_event woken;
    ::epoll_wait(epoll.get(), &woken, 1, -1);
    transport.ClearBell();
    transport.Disarm();
  };
  return RunShm(pair, count, SleepInWait, sleep_in_epoll, ends);
}

struct Subject {
  const char* name;
  Result (*run)(const Pair&, int);
  int count;
};

constexpr Subject kSubjects[] = {
    {"F_line", &RunLine, 500'000},
    {"shm, spinning", &RunShmSpinning, 500'000},
    {"F_sem", &RunSemaphores, 20'000},
    {"shm, blocking", &RunShmBlocking, 20'000},
};

void Run(int client_cpu, int server_cpu, int repetitions) {
  const Pair pair(client_cpu, server_cpu);
  std::printf("client on CPU %d, server on CPU %d; microseconds p50 / p99\n", client_cpu, server_cpu);
  for (int i = 0; i < repetitions; ++i) {
    for (const Subject& subject : kSubjects) {
      const Result result = subject.run(pair, subject.count);
      std::printf("%-14s %8.3f / %8.3f   ", subject.name, result.p50_us, result.p99_us);
    }
    std::printf("\n");
    std::fflush(stdout);
  }
}

}  // namespace
}  // namespace nearcall

int main(int argc, char** argv) {
  const auto argument = [&](int index, int otherwise) { return argc > index ? std::atoi(argv[index]) : otherwise; };
  nearcall::Run(argument(1, 0), argument(2, 1), argument(3, 5));
  return 0;
}
