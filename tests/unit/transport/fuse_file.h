// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstring>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/fd.h"
#include "support/temporary_directory.h"

namespace nearcall::transport::testing {

// A file of a file system (FUSE) that answers everything but the close of a descriptor (FUSE_FLUSH): that blocks until
// Release(). The file system is that file alone, mounted over another one; for root, where the kernel has FUSE.
class FuseFile {
 public:
  FuseFile() : path_(directory_ / "file"), device_(::open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK)) {
    base::Fd(::open(path_.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600)).Reset();
    const std::string options = absl::StrCat("fd=", device_.get(), ",rootmode=100000,user_id=0,group_id=0");
    if (!device_.valid() || ::mount("nearcall-test", path_.c_str(), "fuse", 0, options.c_str()) != 0) return;
    mounted_ = true;
    thread_ = std::thread([this] { Serve(); });
    file_ = base::Fd(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
  }
  FuseFile(const FuseFile&) = delete;
  FuseFile& operator=(const FuseFile&) = delete;
  ~FuseFile() {
    Release();
    file_.Reset();
    if (mounted_) ::umount2(path_.c_str(), MNT_DETACH);
  }

  // Else there is no FUSE here, or not for this user.
  bool valid() const { return file_.valid(); }
  base::Fd& fd() { return file_; }
  // Somebody closes it, and waits.
  bool is_being_closed() const { return flushes_ != 0; }

  // The file system is gone: nobody waits for it any more.
  void Release() {
    if (!thread_.joinable()) return;
    const uint64_t one = 1;
    static_cast<void>(!::write(end_.get(), &one, sizeof(one)));
    thread_.join();
    device_.Reset();
  }

 private:
  void Serve() {
    std::array<pollfd, 2> fds = {pollfd{.fd = device_.get(), .events = POLLIN, .revents = 0},
                                 pollfd{.fd = end_.get(), .events = POLLIN, .revents = 0}};
    while (::poll(fds.data(), fds.size(), -1) >= 0 && fds[1].revents == 0) {
      alignas(fuse_in_header) std::array<char, FUSE_MIN_READ_BUFFER> request;
      if (::read(device_.get(), request.data(), request.size()) < 0) continue;
      fuse_in_header header;
      std::memcpy(&header, request.data(), sizeof(header));
      Answer(header);
    }
  }

  void Answer(const fuse_in_header& header) {
    switch (header.opcode) {
      case FUSE_INIT: {
        fuse_init_out init{};
        init.major = FUSE_KERNEL_VERSION;
        init.minor = FUSE_KERNEL_MINOR_VERSION;
        init.max_write = 4096;
        return Reply(header, 0, init);
      }
      case FUSE_GETATTR: {
        fuse_attr_out attributes{};
        attributes.attr.ino = FUSE_ROOT_ID;
        attributes.attr.mode = S_IFREG | 0600;
        attributes.attr.nlink = 1;
        return Reply(header, 0, attributes);
      }
      case FUSE_OPEN:
        return Reply(header, 0, fuse_open_out{});
      case FUSE_FLUSH:
        ++flushes_;
        return;
      case FUSE_FORGET:
      case FUSE_BATCH_FORGET:
      case FUSE_INTERRUPT:
        return;
      default:
        return Reply(header, -ENOSYS, std::array<char, 0>{});
    }
  }

  template <typename Body>
  void Reply(const fuse_in_header& header, int error, const Body& body) {
    const size_t size = error == 0 ? sizeof(body) : 0;
    std::array<char, sizeof(fuse_out_header) + sizeof(Body)> reply{};
    const fuse_out_header out = {
        .len = static_cast<uint32_t>(sizeof(out) + size), .error = error, .unique = header.unique};
    std::memcpy(reply.data(), &out, sizeof(out));
    std::memcpy(reply.data() + sizeof(out), &body, size);
    static_cast<void>(!::write(device_.get(), reply.data(), out.len));
  }

  const nearcall::testing::TemporaryDirectory directory_;
  const std::string path_;
  base::Fd device_;
  const base::Fd end_{::eventfd(0, EFD_CLOEXEC)};
  bool mounted_ = false;
  std::atomic<int> flushes_{0};
  std::thread thread_;
  base::Fd file_;
};

}  // namespace nearcall::transport::testing
