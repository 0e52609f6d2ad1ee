// SPDX-License-Identifier: Apache-2.0
#include "file_service.h"

#include <dirent.h>
#include <sys/mman.h>
#include <unistd.h>

#include <iterator>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace nearcall::integration {

UniqueFd FileOf(const std::string& text) {
  UniqueFd file(::memfd_create("test", MFD_CLOEXEC));
  EXPECT_EQ(::pwrite(file.get(), text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  return file;
}

std::string TextOf(const UniqueFd& file) {
  std::string text(64, '\0');
  const ssize_t size = ::pread(file.get(), text.data(), text.size(), 0);
  return size < 0 ? "(cannot be read)" : text.substr(0, static_cast<size_t>(size));
}

std::string TextsOf(const std::vector<UniqueFd>& files) {
  return absl::StrJoin(files, "|", [](std::string* out, const UniqueFd& file) { absl::StrAppend(out, TextOf(file)); });
}

size_t OpenDescriptors() {
  size_t count = 0;
  DIR* const folder = ::opendir("/proc/self/fd");
  while (::readdir(folder) != nullptr) ++count;
  ::closedir(folder);
  return count;
}

std::vector<int> NumbersOf(const std::vector<UniqueFd>& files) {
  std::vector<int> numbers;
  for (const UniqueFd& file : files) numbers.push_back(file.get());
  return numbers;
}

absl::Status FileService::Return(ServerContext& context, const Blob& /*request*/, Blob& reply) {
  const std::vector<UniqueFd> came = context.TakeDescriptors();
  reply.set_data(TextsOf(came));
  for (const UniqueFd& file : came) context.reply_descriptors().push_back(FileOf("re:" + TextOf(file)));
  return absl::OkStatus();
}

absl::Status FileService::Down(ServerContext& context, const Blob& request, ServerWriter<Blob>& writer) {
  const std::vector<UniqueFd> came = context.TakeDescriptors();
  for (const absl::string_view text : absl::StrSplit(request.data(), ',')) {
    const UniqueFd file = FileOf(std::string(text));
    const int fd = file.get();
    if (!writer.Write(MakeBlob(std::string(text)), {&fd, 1})) return absl::OkStatus();
  }
  for (const UniqueFd& file : came) context.reply_descriptors().push_back(FileOf("end:" + TextOf(file)));
  return absl::OkStatus();
}

absl::Status FileService::Up(ServerContext& /*context*/, ServerReader<Blob>& reader, Blob& reply) {
  std::string all;
  for (Blob blob; reader.Read(&blob);) absl::StrAppend(&all, blob.data(), "=", TextsOf(reader.TakeDescriptors()), ";");
  reply.set_data(all);
  return absl::OkStatus();
}

absl::Status FileService::Chat(ServerContext& /*context*/, ServerReaderWriter<Blob, Blob>& chat) {
  for (Blob blob; chat.Read(&blob);) {
    const std::vector<UniqueFd> came = chat.TakeDescriptors();
    if (!chat.Write(blob, NumbersOf(came))) break;
  }
  return absl::OkStatus();
}

Task<absl::Status> SuspendingFileService::Chat(ServerContext& /*context*/, CoServerReaderWriter<Blob, Blob>& chat) {
  Blob blob;
  while (co_await chat.Read(&blob)) {
    const std::vector<UniqueFd> came = chat.TakeDescriptors();
    const std::vector<int> numbers = NumbersOf(came);
    if (!co_await chat.Write(blob, numbers)) break;
  }
  co_return absl::OkStatus();
}

std::unique_ptr<Server> DescriptorsTest::StartServer(ServerOptions options) {
  options.log_sink = log.sink();
  options.expected_clients = 48;
  return Must(ServerBuilder(std::move(options)).Listen(Address()).Register(&echo).Register(&files).Start());
}

absl::StatusOr<Blob> DescriptorsTest::Swap(const Files::Stub& stub, const std::vector<std::string>& texts,
                                           std::vector<UniqueFd>* returned, const Blob& request) {
  std::vector<UniqueFd> sent;
  for (const std::string& text : texts) sent.push_back(FileOf(text));
  const std::vector<int> numbers = NumbersOf(sent);
  CallOptions options;
  options.timeout = kLong;
  options.descriptors = numbers;
  options.reply_descriptors = returned;
  return stub.Swap(request, options);
}

}  // namespace nearcall::integration
