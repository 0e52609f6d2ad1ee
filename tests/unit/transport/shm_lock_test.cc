// SPDX-License-Identifier: Apache-2.0

// A client that holds the lock of its own memory's file, by a write(2) whose source never comes: what a file system of
// its own (FUSE) can do, and here userfaultfd(2).

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <future>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "base/limits.h"
#include "base/shared_memory.h"
#include "transport/shm/shm_offer.h"
#include "unit/transport/passed.h"

namespace nearcall::transport::shm {
namespace {

// A page that is not there until Give(): whoever reads it waits.
class MissingPage {
 public:
  MissingPage()
      : faults_(static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK))),
        page_(::mmap(nullptr, base::PageSize(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {
    uffdio_api api{.api = UFFD_API, .features = 0, .ioctls = 0};
    uffdio_register range{.range = Range(), .mode = UFFDIO_REGISTER_MODE_MISSING, .ioctls = 0};
    works_ = faults_.valid() && ::ioctl(faults_.get(), UFFDIO_API, &api) == 0 &&
             ::ioctl(faults_.get(), UFFDIO_REGISTER, &range) == 0;
  }
  ~MissingPage() { ::munmap(page_, base::PageSize()); }
  MissingPage(const MissingPage&) = delete;
  MissingPage& operator=(const MissingPage&) = delete;

  bool works() const { return works_; }
  const void* data() const { return page_; }

  // Until somebody waits for it.
  void AwaitReader() const {
    pollfd item{.fd = faults_.get(), .events = POLLIN, .revents = 0};
    ASSERT_EQ(::poll(&item, 1, 20'000), 1);
  }
  void Give() const {
    uffdio_zeropage zero{.range = Range(), .mode = 0, .zeropage = 0};
    ::ioctl(faults_.get(), UFFDIO_ZEROPAGE, &zero);
  }

 private:
  uffdio_range Range() const { return {.start = reinterpret_cast<uintptr_t>(page_), .len = base::PageSize()}; }

  const base::Fd faults_;
  void* const page_;
  bool works_ = false;
};

TEST(HeldFileLockTest, AServerDoesNotWaitForTheLockOfTheClientsMemory) {
  const MissingPage source;
  if (!source.works()) GTEST_SKIP() << "SKIPPED: no userfaultfd(2) for this user, see vm.unprivileged_userfaultfd";
  const auto offer = OfferShm({.ring_size_bytes = base::kMinRingSize});
  ASSERT_TRUE(offer.ok()) << offer.status();
  const std::vector<base::Fd> fds = Passed(**offer);
  std::thread client([&] { EXPECT_LT(::pwrite(fds[0].get(), source.data(), base::PageSize(), 0), 1 << 20); });
  source.AwaitReader();

  std::promise<void> returned;
  bool held_up = false;
  std::thread guard([&] {
    held_up = returned.get_future().wait_for(std::chrono::seconds(3)) != std::future_status::ready;
    source.Give();
  });
  EXPECT_EQ((*offer)->Accept().status().code(), absl::StatusCode::kInternal);
  returned.set_value();
  guard.join();
  client.join();
  EXPECT_FALSE(held_up);
}

}  // namespace
}  // namespace nearcall::transport::shm
