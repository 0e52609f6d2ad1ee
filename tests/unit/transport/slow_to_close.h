// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <functional>
#include <future>
#include <thread>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "fake_peer.h"
#include "process.h"

namespace nearcall::transport::testing {

// What a hostile peer passes: a TCP socket that lingers, with bytes in it that nobody takes. Its last close(2) blocks
// for a minute, or until Release().
class SlowToClose {
 public:
  SlowToClose() {
    const base::Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(::bind(listener.get(), any, size), 0);
    EXPECT_EQ(::listen(listener.get(), 1), 0);
    EXPECT_EQ(::getsockname(listener.get(), any, &size), 0);
    lingers_ = base::Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::connect(lingers_.get(), any, size), 0);
    reader_ = base::Fd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    const linger minute{.l_onoff = 1, .l_linger = 60};
    EXPECT_EQ(::setsockopt(lingers_.get(), SOL_SOCKET, SO_LINGER, &minute, sizeof(minute)), 0);
    const std::array<char, 65536> bytes{};
    while (::send(lingers_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL) > 0) {
    }
  }

  // With `bytes`, over `socket`, though the other side may have forbidden it (on a new kernel: `theirs`). What was
  // passed is open nowhere else.
  void Pass(const base::Fd& socket, int theirs, std::span<const std::byte> bytes, size_t copies = 1) {
    const int on = 1;
    ::setsockopt(theirs, SOL_SOCKET, /*SO_PASSRIGHTS*/ 83, &on, sizeof(on));
    EXPECT_TRUE(SendDescriptors(socket.get(), bytes, copies, lingers_.get()));
    lingers_.Reset();
  }

  // The same behind `others` that are quickly closed.
  void PassLast(const base::Fd& socket, std::span<const std::byte> bytes, size_t others) {
    const base::Fd quick(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    std::vector<int> fds(others, quick.get());
    fds.push_back(lingers_.get());
    EXPECT_TRUE(SendDescriptors(socket.get(), bytes, fds));
    lingers_.Reset();
  }

  // Whether `step` returns only when it is freed.
  bool HoldsUp(const std::function<void()>& step) {
    std::promise<void> returned;
    bool held_up = false;
    std::thread guard([&] {
      held_up = returned.get_future().wait_for(std::chrono::seconds(3)) != std::future_status::ready;
      if (held_up) Release();
    });
    step();
    returned.set_value();
    guard.join();
    return held_up;
  }

  void Release() {
    reader_.Reset();
    lingers_.Reset();
  }

 private:
  base::Fd lingers_;
  base::Fd reader_;
};

// Descriptors are closed on another thread.
inline bool SoonOpenDescriptors(size_t count) {
  for (const base::SteadyNs until = Soon(); OpenDescriptors() != count; ::poll(nullptr, 0, 1)) {
    if (base::NowNs() > until) return false;
  }
  return true;
}

}  // namespace nearcall::transport::testing
