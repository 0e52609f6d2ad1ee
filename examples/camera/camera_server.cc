// SPDX-License-Identifier: Apache-2.0

// camera_server FRAMES VIEWERS: takes FRAMES pictures when VIEWERS are there, each into memory that all of them read in
// place, and ends.
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <thread>

#include "camera.nearcall.pb.h"

namespace {

constexpr uint32_t kWidth = 1920;
constexpr uint32_t kHeight = 1080;

class CameraImpl final : public camera::Camera::CoService {
 public:
  nearcall::Task<absl::Status> Watch(nearcall::ServerContext& context, const camera::WatchRequest&,
                                     nearcall::CoServerWriter<camera::Frame>& frames) override {
    // A live view would rather have the latest frame (kLatestOnly) than all of them.
    nearcall::SubscriptionOptions<camera::Frame> options;
    options.when_behind = nearcall::WhenBehind::kBlockPublisher;
    return topic.Serve(context, frames, options);
  }

  nearcall::Topic<camera::Frame> topic;
};

// The sensor writes where the viewers read.
absl::Status Take(uint32_t number, CameraImpl& camera) {
  absl::StatusOr<nearcall::Buffer> pixels = nearcall::Buffer::Allocate(size_t{kWidth} * kHeight);
  if (!pixels.ok()) return pixels.status();
  std::memset(pixels->mutable_bytes().data(), static_cast<int>(number % 256), pixels->size());
  camera::Frame frame;
  frame.set_number(number);
  frame.set_width(kWidth);
  frame.set_height(kHeight);
  return camera.topic.Publish(frame, {&*pixels, 1});
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: camera_server FRAMES VIEWERS\n";
    return 2;
  }
  CameraImpl camera;
  auto server = nearcall::ServerBuilder({.handle_signals = true, .passes_attachments = true})
                    .Listen("camera")
                    .Register(&camera)
                    .Start();
  if (!server.ok()) {
    std::cerr << server.status() << "\n";
    return 1;
  }
  std::thread sensor([&] {
    while (camera.topic.subscribers() < static_cast<size_t>(std::atoi(argv[2]))) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    absl::Status taken;
    for (int i = 0; taken.ok() && i < std::atoi(argv[1]); ++i) taken = Take(static_cast<uint32_t>(i), camera);
    camera.topic.Close(taken);
    (*server)->Shutdown(absl::Seconds(10));
  });
  (*server)->Wait();
  camera.topic.Close(absl::AbortedError("the camera has been switched off"));
  sensor.join();
}
