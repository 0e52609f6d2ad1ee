// SPDX-License-Identifier: Apache-2.0
#include "picture_service.h"

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "file_service.h"

namespace nearcall::integration {

namespace {

constexpr size_t kPeriod = 251;  // no multiple of it is a page

std::byte ByteAt(size_t i, size_t seed) {
  return static_cast<std::byte>(i % kPeriod ^ seed);
}

// The lines of /proc/self/maps that are passed memory.
std::vector<std::string> MapsOfPictures() {
  std::vector<std::string> maps;
  std::ifstream file("/proc/self/maps");
  for (std::string line; std::getline(file, line);) {
    // What was allocated here is mapped to be written until it is sealed; what came never.
    if (absl::StrContains(line, "memfd:nearcall") && absl::StrContains(line, " r--p ")) maps.push_back(line);
  }
  return maps;
}

}  // namespace

Buffer Picture(size_t size, size_t seed) {
  Buffer picture = Must(Buffer::Allocate(size));
  const std::span<std::byte> bytes = picture.mutable_bytes();
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = ByteAt(i, seed);
  return picture;
}

std::string TextOf(std::span<const std::byte> picture) {
  if (picture.empty()) return "nothing";
  const size_t seed = static_cast<size_t>(picture[0]);
  for (size_t i = 0; i < picture.size(); ++i) {
    if (picture[i] != ByteAt(i, seed)) return absl::StrCat("wrong at byte ", i);
  }
  return absl::StrCat(seed, ":", picture.size());
}

std::string TextsOf(const std::vector<Buffer>& pictures) {
  return absl::StrJoin(pictures, "|",
                       [](std::string* out, const Buffer& picture) { absl::StrAppend(out, TextOf(picture.bytes())); });
}

bool IsPassed(const Buffer& buffer) {
  const auto address = reinterpret_cast<uintptr_t>(buffer.bytes().data());
  const std::vector<std::string> maps = MapsOfPictures();
  return std::any_of(maps.begin(), maps.end(), [&](const std::string& line) {
    return absl::StartsWith(line, absl::StrCat(absl::Hex(address), "-"));
  });
}

std::string WaysOf(const std::vector<Buffer>& pictures) {
  return absl::StrJoin(pictures, "|", [](std::string* out, const Buffer& picture) {
    absl::StrAppend(out, IsPassed(picture) ? "passed" : "copied");
  });
}

size_t MappedPictures() {
  return MapsOfPictures().size();
}

Buffer PictureService::Answer(const Buffer& picture) {
  const size_t seed = picture.empty() ? 0 : static_cast<size_t>(picture.bytes()[0]);
  return Picture(picture.size(), seed + 100);
}

absl::Status PictureService::Return(ServerContext& context, const Blob& /*request*/, Blob& reply) {
  reply.set_data(TextsOf(context.attachments()));
  for (const Buffer& picture : context.attachments()) context.reply_attachments().push_back(Answer(picture));
  return absl::OkStatus();
}

absl::Status AlbumService::Both(ServerContext& context, const Blob& /*request*/, Blob& reply) {
  std::vector<UniqueFd> files = context.TakeDescriptors();
  reply.set_data(absl::StrCat(TextsOf(files), " and ", TextsOf(context.attachments())));
  for (UniqueFd& file : files) context.reply_descriptors().push_back(std::move(file));
  for (const Buffer& picture : context.attachments())
    context.reply_attachments().push_back(PictureService::Answer(picture));
  return absl::OkStatus();
}

absl::Status PictureService::Show(ServerContext& context, const Blob& /*request*/) {
  show(context);
  return absl::OkStatus();
}

// "3:1000,4:2000": these.
absl::Status PictureService::Down(ServerContext& context, const Blob& request, ServerWriter<Blob>& writer) {
  for (const absl::string_view text : absl::StrSplit(request.data(), ',', absl::SkipEmpty())) {
    const std::pair<std::string, std::string> seed_and_size = absl::StrSplit(text, ':');
    size_t seed = 0;
    size_t size = 0;
    if (!absl::SimpleAtoi(seed_and_size.first, &seed) || !absl::SimpleAtoi(seed_and_size.second, &size)) break;
    writer.Attach(Picture(size, seed));
    if (!writer.Write(MakeBlob(std::string(text)))) return absl::OkStatus();
  }
  for (const Buffer& picture : context.attachments()) context.reply_attachments().push_back(Answer(picture));
  return absl::OkStatus();
}

absl::Status PictureService::Up(ServerContext& /*context*/, ServerReader<Blob>& reader, Blob& reply) {
  std::string all;
  for (Blob blob; reader.Read(&blob);) absl::StrAppend(&all, blob.data(), "=", TextsOf(reader.attachments()), ";");
  reply.set_data(all);
  return absl::OkStatus();
}

absl::Status PictureService::Chat(ServerContext& /*context*/, ServerReaderWriter<Blob, Blob>& chat) {
  for (Blob blob; chat.Read(&blob);) {
    for (const Buffer& picture : chat.attachments()) chat.Attach(Answer(picture));
    if (!chat.Write(blob)) break;
  }
  return absl::OkStatus();
}

Task<absl::Status> SuspendingPictureService::Chat(ServerContext& /*context*/, CoServerReaderWriter<Blob, Blob>& chat) {
  Blob blob;
  while (co_await chat.Read(&blob)) {
    for (const Buffer& picture : chat.attachments()) chat.Attach(PictureService::Answer(picture));
    if (!co_await chat.Write(blob)) break;
  }
  co_return absl::OkStatus();
}

std::unique_ptr<Server> AttachmentsTest::StartServer(ServerOptions options) {
  options.log_sink = log.sink();
  options.expected_clients = 48;
  return Must(ServerBuilder(std::move(options)).Listen(Address()).Register(&echo).Register(&pictures).Start());
}

CallOptions AttachmentsTest::Attaching(std::vector<Buffer> attachments, std::vector<Buffer>* returned) {
  CallOptions options;
  options.timeout = kLong;
  options.attachments = std::move(attachments);
  options.reply_attachments = returned;
  return options;
}

}  // namespace nearcall::integration
