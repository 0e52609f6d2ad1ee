// SPDX-License-Identifier: Apache-2.0
#include "transport/pipe/pipe_offer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "base/check.h"
#include "base/syscall.h"
#include "transport/framing.h"
#include "transport/open_own.h"
#include "transport/pipe/pipe_transport.h"

namespace nearcall::transport::pipe {

namespace {

using base::Fd;

constexpr Geometry kGeometry = {kMaxFrameSize, 0, 0, 0};

absl::Status PipeStatus(int error) {
  if (error != ENFILE) return base::ErrnoStatus(error, "pipe: cannot create a pipe");
  return absl::ResourceExhaustedError(
      "pipe: cannot create a pipe: the system's limit of open files (/proc/sys/fs/file-max) or the user's of memory in "
      "pipes (/proc/sys/fs/pipe-user-pages-hard) is reached");
}

struct NewPipe {
  Fd read_end;
  Fd write_end;
  Fd own;  // this process's, for either use
};

absl::StatusOr<NewPipe> CreatePipe() {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0) return PipeStatus(errno);
  NewPipe pipe{.read_end = Fd(fds[0]), .write_end = Fd(fds[1]), .own = {}};
  // A client of another user opens it anew as well. Only who holds a descriptor, or may trace somebody who does, can.
  if (!pipe.read_end.valid() || !pipe.write_end.valid()) return PipeStatus(errno);
  if (::fchmod(pipe.read_end.get(), 0666) != 0) return base::ErrnoStatus("pipe: cannot set the mode of a pipe");
  absl::StatusOr<Fd> own = OpenOwn("pipe", pipe.read_end);
  if (!own.ok()) return own.status();
  pipe.own = *std::move(own);
  return pipe;
}

class PipeOffer final : public TransportOffer {
 public:
  PipeOffer(NewPipe requests, NewPipe replies) : requests_(std::move(requests)), replies_(std::move(replies)) {}

  Geometry geometry() const override { return kGeometry; }
  std::vector<int> fds() const override { return {requests_.write_end.get(), replies_.read_end.get()}; }
  absl::StatusOr<std::unique_ptr<Transport>> Accept() override;

 private:
  NewPipe requests_;
  NewPipe replies_;
};

absl::StatusOr<std::unique_ptr<Transport>> PipeOffer::Accept() {
  NEARCALL_CHECK(requests_.own.valid());
  return std::make_unique<PipeTransport>(
      PipeEnd{.incoming = std::move(requests_.own), .outgoing = std::move(replies_.own), .sleeper = nullptr});
}

absl::Status Violation(absl::string_view what) {
  return absl::InternalError(absl::StrCat("pipe: the server broke the protocol: ", what));
}

absl::Status VerifyOffer(std::span<const Fd> fds, const Geometry& geometry) {
  if (fds.size() != 2) return Violation(absl::StrCat("it sent ", fds.size(), " descriptors, expected 2"));
  if (geometry == kGeometry) return absl::OkStatus();
  return Violation(absl::StrCat("it sent the geometry {", absl::StrJoin(geometry, ", "), "}, expected {",
                                absl::StrJoin(kGeometry, ", "), "}"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<TransportOffer>> OfferPipe(const TransportConfig& /*config*/) {
  absl::StatusOr<NewPipe> requests = CreatePipe();
  if (!requests.ok()) return requests.status();
  absl::StatusOr<NewPipe> replies = CreatePipe();
  if (!replies.ok()) return replies.status();
  return std::make_unique<PipeOffer>(*std::move(requests), *std::move(replies));
}

absl::StatusOr<std::unique_ptr<Transport>> AttachPipe(std::vector<base::Fd>&& fds, const Geometry& geometry) {
  if (absl::Status status = VerifyOffer(fds, geometry); !status.ok()) return status;
  absl::StatusOr<Fd> outgoing = OpenOwn("pipe", fds[0]);
  if (!outgoing.ok()) return outgoing.status();
  absl::StatusOr<Fd> incoming = OpenOwn("pipe", fds[1]);
  if (!incoming.ok()) return incoming.status();
  absl::StatusOr<std::unique_ptr<FdSleeper>> sleeper = FdSleeper::Create();
  if (!sleeper.ok()) return sleeper.status();
  return std::make_unique<PipeTransport>(
      PipeEnd{.incoming = *std::move(incoming), .outgoing = *std::move(outgoing), .sleeper = *std::move(sleeper)});
}

}  // namespace nearcall::transport::pipe
