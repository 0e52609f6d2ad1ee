// SPDX-License-Identifier: Apache-2.0
#include "transport/fifo/fifo_pair.h"

#include <stdlib.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <utility>

#include "base/syscall.h"
#include "transport/fd_sleeper.h"
#include "transport/fifo/fifo_transport.h"
#include "transport/fifo/line.h"
#include "transport/fifo/named_fifos.h"

namespace nearcall::transport::fifo {

namespace {

absl::StatusOr<TransportPair> MakeIn(const Directory& directory) {
  absl::StatusOr<Fifos> server = MakeFifos(directory, "pair");
  if (!server.ok()) return server.status();
  absl::StatusOr<std::optional<Fifos>> client = OpenFifos(directory, "pair");
  if (absl::Status removed = RemoveFifos(directory, "pair", server->id); !removed.ok()) return removed;
  if (!client.ok()) return client.status();
  if (!client->has_value()) return absl::InternalError("somebody else has opened the FIFOs of a pair");
  absl::StatusOr<std::shared_ptr<Line>> server_line = Line::Create(*std::move(server));
  absl::StatusOr<std::shared_ptr<Line>> client_line = Line::Create(**std::move(client));
  absl::StatusOr<std::unique_ptr<FdSleeper>> sleeper = FdSleeper::Create();
  for (const absl::Status& status : {server_line.status(), client_line.status(), sleeper.status()}) {
    if (!status.ok()) return status;
  }
  return TransportPair{.client = std::make_unique<FifoTransport>(*std::move(client_line), *std::move(sleeper)),
                       .server = std::make_unique<FifoTransport>(*std::move(server_line), nullptr)};
}

}  // namespace

absl::StatusOr<TransportPair> MakeFifoPair() {
  char path[] = "/tmp/nearcall-fifo-XXXXXX";
  if (::mkdtemp(path) == nullptr) return base::ErrnoStatus("make a directory for FIFOs");
  const absl::StatusOr<Directory> directory = Directory::OpenPrivate(path, Directory::IfMissing::kFail);
  absl::StatusOr<TransportPair> pair = directory.ok() ? MakeIn(*directory) : directory.status();
  ::rmdir(path);
  return pair;
}

}  // namespace nearcall::transport::fifo
