// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "attachments.nearcall.pb.h"
#include "fixture.h"
#include "nearcall/buffer.h"

namespace nearcall::integration {

inline constexpr size_t kLarge = size_t{300} << 10;  // is passed, where that can be
inline constexpr size_t kSmall = 1000;

// `size` bytes that are known again by their `seed`.
Buffer Picture(size_t size, size_t seed);
// "seed:size", or what is wrong with them.
std::string TextOf(std::span<const std::byte> picture);
std::string TextsOf(const std::vector<Buffer>& pictures);  // "1:100|2:300"

// Whether it is a mapping of memory that was passed, and not a copy.
bool IsPassed(const Buffer& buffer);
std::string WaysOf(const std::vector<Buffer>& pictures);  // "passed|copied"
// Of passed memory, in this process.
size_t MappedPictures();

// Each method answers with the texts of what has come, and with a picture of the same size, and a seed that is 100
// more, for each; `invert` may be another one.
class PictureService final : public Pictures::Service {
 public:
  std::function<absl::Status(ServerContext&, const Blob&, Blob&)> invert = &Return;
  std::function<void(ServerContext&)> show = [](ServerContext&) {};

  static absl::Status Return(ServerContext& context, const Blob& request, Blob& reply);
  static Buffer Answer(const Buffer& picture);

  absl::Status Invert(ServerContext& context, const Blob& request, Blob& reply) override {
    return invert(context, request, reply);
  }
  absl::Status Show(ServerContext& context, const Blob& request) override;
  absl::Status Down(ServerContext& context, const Blob& request, ServerWriter<Blob>& writer) override;
  absl::Status Up(ServerContext& context, ServerReader<Blob>& reader, Blob& reply) override;
  absl::Status Chat(ServerContext& context, ServerReaderWriter<Blob, Blob>& chat) override;
};

class AlbumService final : public Albums::Service {
 public:
  absl::Status Both(ServerContext& context, const Blob& request, Blob& reply) override;
};

class SuspendingPictureService final : public Pictures::CoService {
 public:
  Task<absl::Status> Chat(ServerContext& context, CoServerReaderWriter<Blob, Blob>& chat) override;
};

// Serves Pictures over the transport under test, and takes memory.
class AttachmentsTest : public IntegrationTest {
 protected:
  static ServerOptions Taking(size_t max_bytes = size_t{64} << 20) {
    ServerOptions options;
    options.max_attachment_bytes = max_bytes;
    return options;
  }
  std::unique_ptr<Server> StartServer(ServerOptions options = Taking());
  Pictures::Stub ConnectPictures(ChannelOptions options = {}) { return Pictures::Stub(Connect(std::move(options))); }

  static CallOptions Attaching(std::vector<Buffer> attachments, std::vector<Buffer>* returned = nullptr);

  PictureService pictures;
};

}  // namespace nearcall::integration
