// SPDX-License-Identifier: Apache-2.0
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>

#include "base/fd.h"
#include "base/limits.h"
#include "bench/pair.h"
#include "bench/worker.h"

namespace nearcall::bench {

namespace {

using Descriptors = std::array<int, 2>;

// One byte with two descriptors, or room for them.
struct Letter {
  Letter() {
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof(control);
  }

  char byte = 'x';
  iovec part = {.iov_base = &byte, .iov_len = 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(Descriptors))] = {};
  msghdr header = {};
};

void Send(int socket, const Descriptors& fds) {
  Letter letter;
  cmsghdr* control = CMSG_FIRSTHDR(&letter.header);
  control->cmsg_level = SOL_SOCKET;
  control->cmsg_type = SCM_RIGHTS;
  control->cmsg_len = CMSG_LEN(sizeof(fds));
  std::memcpy(CMSG_DATA(control), fds.data(), sizeof(fds));
  NEARCALL_CHECK(::sendmsg(socket, &letter.header, MSG_NOSIGNAL) == 1);
}

Descriptors Receive(int socket) {
  Letter letter;
  NEARCALL_CHECK(::recvmsg(socket, &letter.header, MSG_CMSG_CLOEXEC) == 1);
  Descriptors fds;
  std::memcpy(fds.data(), CMSG_DATA(CMSG_FIRSTHDR(&letter.header)), sizeof(fds));
  return fds;
}

// The least that a connection over shared memory takes: connect(2), two descriptors from the other side, two mappings.
class RawConnect final : public Pair {
 public:
  explicit RawConnect(int peer_cpu) : listener_(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)) {
    address_.sun_family = AF_UNIX;
    // Apart from Nearcall's names: its servers knock at those of others when they start.
    const std::string directory = std::string(std::getenv("NEARCALL_DIR")) + "/raw";
    std::filesystem::create_directory(directory);
    const std::string path = directory + "/" + std::to_string(::getpid());
    std::strncpy(address_.sun_path, path.c_str(), sizeof(address_.sun_path) - 1);
    for (int& memory : memories_) {
      memory = ::memfd_create("raw", MFD_CLOEXEC);
      NEARCALL_CHECK(::ftruncate(memory, base::kDefaultRingSize) == 0);
    }
    if (::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address_), sizeof(address_)) != 0 ||
        ::listen(listener_.get(), base::kListenBacklog) != 0) {
      Die("cannot listen");
    }
    Fork(peer_cpu, [this] {
      const base::Fd client(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      Send(client.get(), memories_);
      char byte;
      NEARCALL_CHECK(::read(client.get(), &byte, 1) == 0);
    });
  }

  ~RawConnect() override {
    ::unlink(address_.sun_path);
    for (const int memory : memories_) ::close(memory);
  }

  void Call() override { TimeCallNs(); }

  int64_t TimeCallNs() override {
    const int64_t before = base::NowNs();
    const base::Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    NEARCALL_CHECK(::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address_), sizeof(address_)) == 0);
    const Descriptors fds = Receive(socket.get());
    std::array<void*, 2> mapped;
    for (size_t i = 0; i < fds.size(); ++i) {
      mapped[i] = ::mmap(nullptr, base::kDefaultRingSize, PROT_READ | PROT_WRITE, MAP_SHARED, fds[i], 0);
      NEARCALL_CHECK(mapped[i] != MAP_FAILED);
    }
    const int64_t took = base::NowNs() - before;
    for (size_t i = 0; i < fds.size(); ++i) {
      ::munmap(mapped[i], base::kDefaultRingSize);
      ::close(fds[i]);
    }
    return took;
  }

 private:
  const base::Fd listener_;
  sockaddr_un address_{};
  Descriptors memories_;
};

}  // namespace

std::unique_ptr<Subject> MakeRawConnect(const SubjectParams& params) {
  return std::make_unique<RawConnect>(params.placement.server_cpu);
}

}  // namespace nearcall::bench
