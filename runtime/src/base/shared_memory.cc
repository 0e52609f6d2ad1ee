// SPDX-License-Identifier: Apache-2.0
#include "base/shared_memory.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "base/proc_path.h"
#include "base/syscall.h"

namespace nearcall::base {

namespace {

// Newer than Debian 12's headers (Linux 6.3).
constexpr unsigned int kNoExecSeal = 0x0008U;

constexpr int kPopulateRead = 22;  // MADV_POPULATE_READ, Linux 5.14

constexpr int kSizeSeals = F_SEAL_SHRINK | F_SEAL_GROW;
constexpr int kWriterSeals = F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
constexpr int kAllSeals = kSizeSeals | F_SEAL_WRITE | F_SEAL_SEAL;

constexpr size_t kBlockSize = 512;  // of stat(2)

int CreateMemfd() {
  constexpr unsigned int kFlags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  const int fd = ::memfd_create("nearcall", kFlags | kNoExecSeal);
  // Kernels before 6.3 do not know the flag.
  return fd == -1 && errno == EINVAL ? ::memfd_create("nearcall", kFlags) : fd;
}

// Beyond that limit ftruncate(2) does not only fail, but raises SIGXFSZ too, which ends the process.
absl::Status CheckFileSizeLimit(size_t size) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY || size <= limit.rlim_cur) {
    return absl::OkStatus();
  }
  return ErrnoStatus(EFBIG, absl::StrCat("cannot create ", size, " B of shared memory"));
}

absl::Status ReserveSharedMemory(const Fd& fd, size_t size) {
  if (Retry([&] { return ::fallocate(fd.get(), 0, 0, static_cast<off_t>(size)); }) != 0) {
    return ErrnoStatus(absl::StrCat("cannot reserve ", size, " B of shared memory"));
  }
  return absl::OkStatus();
}

// The same as kPopulateRead on kernels that do not know it: has the kernel read a byte of each page for us. 0 or errno.
int ReadEachPage(std::span<std::byte> bytes) {
  constexpr size_t kBatch = 64;
  std::array<std::byte, kBatch> read;
  std::array<iovec, kBatch> pages;
  const size_t count = PagesIn(bytes.size());
  for (size_t page = 0; page < count; page += kBatch) {
    const size_t batch = std::min(kBatch, count - page);
    for (size_t i = 0; i < batch; ++i) {
      pages[i] = {.iov_base = bytes.data() + (page + i) * PageSize(), .iov_len = 1};
    }
    const iovec to{.iov_base = read.data(), .iov_len = batch};
    const ssize_t size = Retry([&] { return ::process_vm_readv(::getpid(), &to, 1, pages.data(), batch, 0); });
    if (size < 0) return errno;
    if (static_cast<size_t>(size) != batch) return EFAULT;
  }
  return 0;
}

}  // namespace

Mapping::Mapping(Mapping&& other) noexcept : bytes_(std::exchange(other.bytes_, {})), fork_guard_(other.fork_guard_) {}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  if (this != &other) {
    Unmap();
    bytes_ = std::exchange(other.bytes_, {});
    fork_guard_ = other.fork_guard_;
  }
  return *this;
}

Mapping::~Mapping() {
  Unmap();
}

void Mapping::Unmap() {
  // In a forked child the mapping does not exist, and something else may stand at its address.
  if (!bytes_.empty() && !fork_guard_.InChild()) ::munmap(bytes_.data(), bytes_.size());
  bytes_ = {};
}

absl::Status Mapping::Populate() const {
  int error = Retry([&] { return ::madvise(bytes_.data(), bytes_.size(), kPopulateRead); }) == 0 ? 0 : errno;
  if (error == EINVAL) error = ReadEachPage(bytes_);
  if (error == 0) return absl::OkStatus();
  // EFAULT: here an instruction would have been a SIGBUS.
  return ErrnoStatus(error == EFAULT ? ENOMEM : error,
                     absl::StrCat("cannot make sure of ", bytes_.size(), " B of shared memory"));
}

absl::StatusOr<Mapping> Mapping::Map(const Fd& fd, size_t offset, size_t size, Access access) {
  const int protection = access == Access::kRead ? PROT_READ : PROT_READ | PROT_WRITE;
  // MAP_POPULATE saves faults and promises nothing: see Populate().
  return Own(::mmap(nullptr, size, protection, MAP_SHARED | MAP_POPULATE, fd.get(), static_cast<off_t>(offset)), size);
}

// Private, which is the same for whoever only reads: a shared mapping of what is sealed so is refused before Linux 6.7.
absl::StatusOr<Mapping> Mapping::MapSealed(int fd, size_t size) {
  return Own(::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0), size);
}

absl::StatusOr<Mapping> Mapping::MapLent(int fd, size_t size) {
  return Own(::mmap(nullptr, size, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0), size);
}

// SUBTLE: the seal is refused while there is a mapping to be written, and after it there can be none. Between the two
// the address is kept by one that is of nothing.
absl::Status Mapping::SealForGood(const Fd& fd) {
  if (fork_guard_.InChild()) return absl::FailedPreconditionError("a buffer is its parent's, and is sealed there");
  constexpr int kPlaceholder = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  const auto replace = [&](int protection, int flags, int with) {
    return ::mmap(bytes_.data(), bytes_.size(), protection, flags | MAP_FIXED, with, 0) != MAP_FAILED;
  };
  if (!replace(PROT_NONE, kPlaceholder, -1)) return ErrnoStatus("cannot unmap shared memory");
  const int error = ::fcntl(fd.get(), F_ADD_SEALS, kAllSeals) == 0 ? 0 : errno;
  const bool mapped =
      error == 0 ? replace(PROT_READ, MAP_PRIVATE, fd.get()) : replace(PROT_READ | PROT_WRITE, MAP_SHARED, fd.get());
  if (!mapped) return ErrnoStatus("cannot map shared memory again");
  if (::madvise(bytes_.data(), bytes_.size(), MADV_DONTFORK) != 0) {
    return ErrnoStatus("cannot keep shared memory from children");
  }
  if (error == EBUSY) {
    return absl::FailedPreconditionError(
        "the buffer cannot be sealed: something else has it mapped to be written, or input into it is under way");
  }
  return error == 0 ? absl::OkStatus() : ErrnoStatus(error, "cannot seal shared memory");
}

absl::StatusOr<Mapping> Mapping::Own(void* address, size_t size) {
  if (address == MAP_FAILED) return ErrnoStatus(absl::StrCat("cannot map ", size, " B of shared memory"));
  Mapping mapping;
  mapping.bytes_ = {static_cast<std::byte*>(address), size};
  if (::madvise(address, size, MADV_DONTFORK) != 0) return ErrnoStatus("cannot keep shared memory from children");
  return mapping;
}

absl::StatusOr<Fd> CreateSharedMemory(size_t size, size_t max_size) {
  if (size > max_size) {
    return absl::ResourceExhaustedError(
        absl::StrCat("cannot create ", size, " B of shared memory, at most ", max_size, " B"));
  }
  if (absl::Status status = CheckFileSizeLimit(size); !status.ok()) return status;
  Fd fd(CreateMemfd());
  if (!fd.valid()) return ErrnoStatus("cannot create shared memory (memfd_create)");
  if (::ftruncate(fd.get(), static_cast<off_t>(size)) != 0) {
    return ErrnoStatus(absl::StrCat("cannot size shared memory to ", size, " B"));
  }
  if (absl::Status status = ReserveSharedMemory(fd, size); !status.ok()) return status;
  if (::fcntl(fd.get(), F_ADD_SEALS, kSizeSeals) != 0) return ErrnoStatus("cannot seal shared memory");
  return fd;
}

absl::Status SealAgainstWriters(const Fd& fd) {
  if (::fcntl(fd.get(), F_ADD_SEALS, kWriterSeals) != 0) {
    // F_SEAL_SEAL stands already: only somebody to whom we passed the descriptor can have done it.
    if (errno == EPERM) return absl::InternalError("the peer has sealed shared memory that is not its own");
    return ErrnoStatus("cannot seal shared memory against further writers");
  }
  return absl::OkStatus();
}

absl::Status VerifySealedAgainstWriters(const Fd& fd) {
  const int seals = ::fcntl(fd.get(), F_GET_SEALS);
  if (seals != -1 && (seals & kWriterSeals) == kWriterSeals) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("the peer has not sealed its shared memory against writers: seals ",
                                          absl::Hex(seals), ", wanted ", absl::Hex(kWriterSeals)));
}

namespace {

// Seals first: only a memfd (or hugetlb) has them, and nothing else may be asked anything (FUSE may block).
absl::Status VerifySeals(int fd, int wanted, struct stat& file) {
  const int seals = ::fcntl(fd, F_GET_SEALS);
  if (seals == -1) return absl::InternalError("the peer sent a descriptor that is not shared memory");
  if ((seals & wanted) != wanted) {
    return absl::InternalError(
        absl::StrCat("the peer sent shared memory with seals ", absl::Hex(seals), ", wanted ", absl::Hex(wanted)));
  }
  struct statfs filesystem {};
  if (::fstatfs(fd, &filesystem) != 0 || filesystem.f_type != TMPFS_MAGIC) {
    return absl::InternalError("the peer sent memory of an unexpected kind");
  }
  if (::fstat(fd, &file) != 0) return ErrnoStatus("cannot look at shared memory");
  return absl::OkStatus();
}

absl::Status WrongSize(const struct stat& file, size_t size) {
  return absl::InternalError(
      absl::StrCat("the peer sent ", file.st_size, " B of shared memory, announced ", size, " B"));
}

absl::Status VerifyMemory(int fd, size_t size, int wanted, struct stat& file) {
  if (absl::Status sealed = VerifySeals(fd, wanted, file); !sealed.ok()) return sealed;
  return file.st_size == static_cast<off_t>(size) ? absl::OkStatus() : WrongSize(file, size);
}

}  // namespace

absl::Status VerifySharedMemory(const Fd& fd, size_t size, bool sealed_against_writers) {
  struct stat file {};
  return VerifyMemory(fd.get(), size, kSizeSeals | (sealed_against_writers ? kWriterSeals : 0), file);
}

absl::Status VerifySealedMemory(int fd, size_t size) {
  struct stat file {};
  if (absl::Status verified = VerifyMemory(fd, size, kAllSeals, file); !verified.ok()) return verified;
  const size_t there = static_cast<size_t>(file.st_blocks) * kBlockSize;
  if (there >= size) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat("the peer sent sparse memory: of ", size, " B there are ", there, " B; fallocate(2) reserves them"));
}

absl::StatusOr<struct stat> VerifyLentMemory(int fd, size_t size) {
  struct stat file {};
  if (absl::Status sealed = VerifySeals(fd, kSizeSeals | kWriterSeals, file); !sealed.ok()) return sealed;
  const auto has = static_cast<size_t>(file.st_size);
  if (has < size || has > kMaxAttachmentBytes) return WrongSize(file, size);
  return file;
}

Fd OpenToRead(int fd) {
  return Fd(Retry([&] { return ::open(ProcPath(fd).c_str(), O_RDONLY | O_CLOEXEC); }));
}

size_t PageSize() {
  static const size_t size = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  return size;
}

}  // namespace nearcall::base
