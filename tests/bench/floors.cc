// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <mqueue.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <string>

#include "base/check.h"
#include "base/cpu.h"
#include "base/fd.h"
#include "base/syscall.h"
#include "bench/pair.h"
#include "bench/payload.h"
#include "echo.pb.h"

namespace nearcall::bench {

namespace {

constexpr size_t kSmall = 64;

struct SemaphorePair {
  alignas(128) sem_t request;
  alignas(128) sem_t reply;
};

// F_sem: post and wait, both ways.
class SemaphoreFloor final : public Pair {
 public:
  explicit SemaphoreFloor(int peer_cpu) : shared_(*Map<SemaphorePair>()) {
    ::sem_init(&shared_.request, 1, 0);
    ::sem_init(&shared_.reply, 1, 0);
    Fork(peer_cpu, [this] {
      Wait(shared_.request);
      ::sem_post(&shared_.reply);
    });
  }

  void Call() override {
    ::sem_post(&shared_.request);
    Wait(shared_.reply);
  }

 private:
  SemaphorePair& shared_;
};

// The same with what a server of many clients waits on: an eventfd in epoll.
class EpollFloor final : public Pair {
 public:
  explicit EpollFloor(int peer_cpu)
      : reply_(*Map<sem_t>()), request_(::eventfd(0, EFD_NONBLOCK)), epoll_(::epoll_create1(0)) {
    ::sem_init(&reply_, 1, 0);
    epoll_event event{.events = EPOLLIN | EPOLLET, .data = {}};
    NEARCALL_CHECK(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, request_.get(), &event) == 0);
    Fork(peer_cpu, [this] {
      epoll_event ready;
      base::Retry([&] { return ::epoll_wait(epoll_.get(), &ready, 1, -1); });
      ::sem_post(&reply_);
    });
  }

  void Call() override {
    const uint64_t one = 1;
    NEARCALL_CHECK(::write(request_.get(), &one, sizeof(one)) == sizeof(one));
    Wait(reply_);
  }

 private:
  sem_t& reply_;
  const base::Fd request_;
  const base::Fd epoll_;
};

// F_pipe: write and read, both ways.
class PipeFloor final : public Pair {
 public:
  explicit PipeFloor(int peer_cpu) {
    NEARCALL_CHECK(::pipe(request_.data()) == 0 && ::pipe(reply_.data()) == 0);
    Fork(peer_cpu, [this] { Pass(request_[0], reply_[1]); });
  }
  ~PipeFloor() override {
    for (const int fd : {request_[0], request_[1], reply_[0], reply_[1]}) ::close(fd);
  }

  void Call() override {
    const std::array<char, kSmall> bytes{};
    NEARCALL_CHECK(::write(request_[1], bytes.data(), bytes.size()) == kSmall);
    std::array<char, kSmall> got;
    NEARCALL_CHECK(::read(reply_[0], got.data(), got.size()) == kSmall);
  }

 private:
  static void Pass(int from, int to) {
    std::array<char, kSmall> bytes;
    NEARCALL_CHECK(::read(from, bytes.data(), bytes.size()) == kSmall);
    NEARCALL_CHECK(::write(to, bytes.data(), bytes.size()) == kSmall);
  }

  std::array<int, 2> request_;
  std::array<int, 2> reply_;
};

// F_uds: the same over a Unix socket.
class SocketFloor final : public Pair {
 public:
  explicit SocketFloor(int peer_cpu) {
    NEARCALL_CHECK(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends_.data()) == 0);
    Fork(peer_cpu, [this] {
      std::array<char, kSmall> bytes;
      NEARCALL_CHECK(::read(ends_[1], bytes.data(), bytes.size()) == kSmall);
      NEARCALL_CHECK(::write(ends_[1], bytes.data(), bytes.size()) == kSmall);
    });
  }
  ~SocketFloor() override {
    for (const int fd : ends_) ::close(fd);
  }

  void Call() override {
    std::array<char, kSmall> bytes{};
    NEARCALL_CHECK(::write(ends_[0], bytes.data(), bytes.size()) == kSmall);
    NEARCALL_CHECK(::read(ends_[0], bytes.data(), bytes.size()) == kSmall);
  }

 private:
  std::array<int, 2> ends_;
};

// F_mq: send and receive, both ways.
class QueueFloor final : public Pair {
 public:
  explicit QueueFloor(int peer_cpu) : request_(Open("request")), reply_(Open("reply")) {
    Fork(peer_cpu, [this] {
      std::array<char, kSmall> bytes;
      NEARCALL_CHECK(::mq_receive(request_, bytes.data(), bytes.size(), nullptr) == kSmall);
      NEARCALL_CHECK(::mq_send(reply_, bytes.data(), bytes.size(), 0) == 0);
    });
  }
  ~QueueFloor() override {
    ::mq_close(request_);
    ::mq_close(reply_);
  }

  void Call() override {
    std::array<char, kSmall> bytes{};
    NEARCALL_CHECK(::mq_send(request_, bytes.data(), bytes.size(), 0) == 0);
    NEARCALL_CHECK(::mq_receive(reply_, bytes.data(), bytes.size(), nullptr) == kSmall);
  }

 private:
  static mqd_t Open(const char* what) {
    mq_attr attributes{};
    attributes.mq_maxmsg = 2;
    attributes.mq_msgsize = kSmall;
    const std::string name = "/call_bench-" + std::to_string(::getpid()) + "-" + what;
    const mqd_t queue = ::mq_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600, &attributes);
    NEARCALL_CHECK(queue != -1 && ::mq_unlink(name.c_str()) == 0);
    return queue;
  }

  const mqd_t request_;
  const mqd_t reply_;
};

struct LinePair {
  alignas(128) sem_t begin;
  alignas(128) std::atomic<uint32_t> line{0};
};

// F_line: one cache line there and back, both sides spinning. The other end sleeps between the calls of this class.
class LineFloor final : public Pair {
 public:
  explicit LineFloor(int peer_cpu) : shared_(*Map<LinePair>()) {
    ::sem_init(&shared_.begin, 1, 0);
    Fork(peer_cpu, [this] {
      Wait(shared_.begin);
      for (uint32_t i = 0; i < kTrips; ++i) Answer();
    });
  }

  int trips_per_call() const override { return kTrips; }

  void Call() override {
    ::sem_post(&shared_.begin);
    for (int i = 0; i < kTrips; ++i) {
      const uint32_t answer = shared_.line.load(std::memory_order_relaxed) + 2;
      shared_.line.store(answer - 1, std::memory_order_release);
      while (shared_.line.load(std::memory_order_acquire) != answer) base::Pause();
    }
  }

 private:
  // So many that the semaphore's share does not show.
  static constexpr int kTrips = 20'000;

  void Answer() {
    uint32_t asked;
    do {
      base::Pause();
      asked = shared_.line.load(std::memory_order_acquire);
    } while (asked % 2 == 0);
    shared_.line.store(asked + 1, std::memory_order_release);
  }

  LinePair& shared_;
};

// P: encoding and decoding request and reply, in one process.
class ProtobufFloor final : public Subject {
 public:
  ProtobufFloor() { SetSize(kSmall); }

  // One of a large message is long enough for the clock.
  int trips_per_call() const override { return request_.payload().size() > 4096 ? 1 : 64; }
  void Check() override { ExpectEcho("protobuf", request_.payload(), reply_.payload()); }
  void SetSize(size_t size) override {
    request_.set_payload(MakePayload(size));
    bytes_.resize(size + 16);
  }

  void Call() override {
    for (int i = 0; i < trips_per_call(); ++i) {
      ::bench::Data received;
      NEARCALL_CHECK(received.ParseFromArray(bytes_.data(), Encode(request_)));
      ::bench::Data answer;
      answer.set_payload(received.payload());
      NEARCALL_CHECK(reply_.ParseFromArray(bytes_.data(), Encode(answer)));
    }
  }

 private:
  int Encode(const ::bench::Data& data) {
    const size_t size = data.ByteSizeLong();
    auto* const begin = reinterpret_cast<uint8_t*>(bytes_.data());
    NEARCALL_CHECK(data.SerializeWithCachedSizesToArray(begin) == begin + size);
    return static_cast<int>(size);
  }

  ::bench::Data request_;
  ::bench::Data reply_;
  std::string bytes_;
};

}  // namespace

std::unique_ptr<Subject> MakeFloor(const SubjectParams& params) {
  if (params.subject == "semaphore") return std::make_unique<SemaphoreFloor>(params.placement.server_cpu);
  if (params.subject == "epoll") return std::make_unique<EpollFloor>(params.placement.server_cpu);
  if (params.subject == "pipe") return std::make_unique<PipeFloor>(params.placement.server_cpu);
  if (params.subject == "socket") return std::make_unique<SocketFloor>(params.placement.server_cpu);
  if (params.subject == "mq") return std::make_unique<QueueFloor>(params.placement.server_cpu);
  if (params.subject == "line") return std::make_unique<LineFloor>(params.placement.server_cpu);
  if (params.subject == "protobuf") return std::make_unique<ProtobufFloor>();
  return nullptr;
}

}  // namespace nearcall::bench
