// SPDX-License-Identifier: Apache-2.0
#include "transport/pipe/pipe_pair.h"

#include <fcntl.h>

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/syscall.h"
#include "transport/pipe/pipe_offer.h"

namespace nearcall::transport::pipe {

absl::StatusOr<TransportPair> MakePipePair() {
  return MakePair(OfferPipe({}), &AttachPipe);
}

absl::StatusOr<TransportPair> MakePipePair(size_t pipe_size) {
  absl::StatusOr<std::unique_ptr<TransportOffer>> offer = OfferPipe({});
  if (!offer.ok()) return offer.status();
  for (const int fd : (*offer)->fds()) {
    if (::fcntl(fd, F_SETPIPE_SZ, static_cast<int>(pipe_size)) != -1) continue;
    return base::ErrnoStatus(absl::StrCat("pipe: cannot make a pipe of ", pipe_size, " B"));
  }
  return MakePair(std::move(offer), &AttachPipe);
}

}  // namespace nearcall::transport::pipe
