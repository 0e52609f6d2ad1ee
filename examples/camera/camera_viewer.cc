// SPDX-License-Identifier: Apache-2.0

// Looks at each frame of the camera, where it is, until there are no more.
#include <algorithm>
#include <iostream>

#include "camera.nearcall.pb.h"

int main() {
  auto channel = nearcall::Channel::Connect("camera", {.connect_timeout = absl::Seconds(10)});
  if (!channel.ok()) {
    std::cerr << channel.status() << "\n";
    return 1;
  }
  const auto frames = camera::Camera::Stub(*channel).Watch({});
  size_t seen = 0;
  size_t wrong = 0;
  for (const camera::Frame& frame : *frames) {
    const nearcall::Buffer pixels = frames->attachments().empty() ? nearcall::Buffer() : frames->attachments()[0];
    const auto is_as_taken = [&frame](std::byte pixel) {
      return pixel == static_cast<std::byte>(frame.number() % 256);
    };
    const bool all = pixels.size() == size_t{frame.width()} * frame.height() &&
                     std::all_of(pixels.bytes().begin(), pixels.bytes().end(), is_as_taken);
    ++(all ? seen : wrong);
  }
  const absl::Status ended = frames->Finish();
  std::cout << seen << " frames seen, " << wrong << " wrong: " << ended << "\n";
  return ended.ok() && wrong == 0 ? 0 : 1;
}
