// SPDX-License-Identifier: Apache-2.0
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/fd.h"
#include "bench/film.h"
#include "bench/nearcall_subject.h"
#include "bench/payload.h"
#include "bench/worker.h"
#include "frames.nearcall.pb.h"

namespace nearcall::bench {

namespace {

using ::bench::Frames;
using ::bench::Order;
using ::bench::Picture;

bool HasMessages(const SubjectParams& params) {
  return params.subject == "decode message" || params.subject == "watch message";
}

// Pictures go as attachments, of a pool or new ones, or as fields.
class FramesService final : public Frames::Service {
 public:
  explicit FramesService(const SubjectParams& params)
      : messages_(HasMessages(params)),
        pool_(params.subject == "decode pool" || params.subject == "watch pool" ? kMaxPool : 0) {}

  absl::Status Decode(ServerContext& context, const Order& order, Picture& reply) override {
    std::string film = order.film();
    if (!messages_) {
      const std::vector<UniqueFd> films = context.TakeDescriptors();
      film = ReadAll(films.at(0).get());
    }
    const size_t size = size_t{order.pixels()} * sizeof(uint32_t);
    bool decoded = false;
    if (messages_) {
      std::string& pixels = *reply.mutable_pixels();
      pixels.resize(size);
      decoded = DecodeFilm(std::as_bytes(std::span(film)), std::as_writable_bytes(std::span(pixels)));
    } else {
      Buffer frame = MakeBuffer(pool_, size);
      decoded = DecodeFilm(std::as_bytes(std::span(film)), frame.mutable_bytes());
      context.reply_attachments().push_back(std::move(frame));
    }
    return decoded ? absl::OkStatus() : absl::DataLossError("the film is not of that size");
  }

  absl::Status Watch(ServerContext& context, const Order&, ServerWriter<Picture>& pictures) override {
    SubscriptionOptions<Picture> options;
    options.max_queued_messages = 2;
    options.max_queued_bytes = kMaxBytes;
    options.when_behind = WhenBehind::kBlockPublisher;
    return topic_.Serve(context, pictures, options);
  }

  // Takes pictures of so many bytes, until Close(), as fast as the slowest of those that watch.
  void Film(size_t size) {
    for (std::byte colour{0};; colour = std::byte{1} ^ colour) {
      Picture picture;
      Buffer buffer;
      if (messages_) {
        picture.mutable_pixels()->assign(size, static_cast<char>(colour));
      } else {
        buffer = MakeBuffer(pool_, size);
        std::memset(buffer.mutable_bytes().data(), static_cast<int>(colour), size);
      }
      while (topic_.subscribers() != kViewers && !closed_) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      if (!topic_.Publish(picture, {&buffer, buffer.empty() ? size_t{0} : 1}).ok()) return;
    }
  }
  void Close() {
    closed_ = true;
    topic_.Close();
  }

 private:
  static std::string ReadAll(int fd) {
    std::string bytes(static_cast<size_t>(::lseek(fd, 0, SEEK_END)), '\0');
    if (::pread(fd, bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) bytes.clear();
    return bytes;
  }

  const bool messages_;
  BufferPool pool_;  // without room: none
  Topic<Picture> topic_;
  std::atomic<bool> closed_{false};
};

uint32_t LookAt(const Picture& picture, const Buffer* attached) {
  return LookAtAll(attached == nullptr ? std::as_bytes(std::span(picture.pixels())) : attached->bytes());
}

class DecodeSubject final : public Subject {
 public:
  explicit DecodeSubject(const SubjectParams& params) : messages_(HasMessages(params)), stub_(ConnectTo(params)) {
    options_.reply_attachments = &attachments_;
    SetSize(sizeof(uint32_t));
  }

  void SetSize(size_t size) override {
    order_.set_pixels(static_cast<uint32_t>(size / sizeof(uint32_t)));
    const std::string film = MakeFilm(order_.pixels());
    if (messages_) return order_.set_film(film);
    film_ = base::Fd(::memfd_create("film", MFD_CLOEXEC));
    if (::write(film_.get(), film.data(), film.size()) != static_cast<ssize_t>(film.size())) Die("no film");
    film_fd_ = film_.get();
    options_.descriptors = {&film_fd_, 1};
  }

  void Call() override {
    attachments_.clear();
    ExpectOk(stub_.Decode(order_, &reply_, options_));
    LookAt(reply_, attachments_.empty() ? nullptr : attachments_.data());
  }

 private:
  const bool messages_;
  const Frames::Stub stub_;
  base::Fd film_;
  int film_fd_ = -1;
  Order order_;
  Picture reply_;
  std::vector<Buffer> attachments_;
  CallOptions options_;
};

// A call is one more picture for each of those that watch, over connections of their own.
class WatchSubject final : public Subject {
 public:
  explicit WatchSubject(const SubjectParams& params) {
    for (int i = 0; i < kViewers; ++i) streams_.push_back(Frames::Stub(ConnectTo(params)).Watch({}));
  }

  void Call() override {
    for (const auto& stream : streams_) {
      if (!stream->Read(&picture_)) Die("the camera has ended");
      LookAt(picture_, stream->attachments().empty() ? nullptr : stream->attachments().data());
    }
  }

 private:
  std::vector<std::unique_ptr<ClientReader<Picture>>> streams_;
  Picture picture_;
};

}  // namespace

std::unique_ptr<Subject> MakeFrames(const SubjectParams& params) {
  if (params.subject.starts_with("watch")) return std::make_unique<WatchSubject>(params);
  return std::make_unique<DecodeSubject>(params);
}

void ServeFrames(const SubjectParams& params) {
  FramesService service(params);
  auto server = ServerBuilder({.max_message_size = kMaxBytes,
                               .handshake_timeout = absl::Seconds(30),
                               .max_spin = absl::Microseconds(params.spin_us),
                               .max_descriptors_per_message = 1,
                               .passes_attachments = true})
                    .Listen(params.address)
                    .Register(&service)
                    .Start();
  if (!server.ok()) Die(absl::StrCat("no server: ", server.status().ToString()));
  std::thread camera([&service] { service.Film(kCameraBytes); });
  ReadyUntilEndOfInput();
  service.Close();
  camera.join();
}

}  // namespace nearcall::bench
