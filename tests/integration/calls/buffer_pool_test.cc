// SPDX-License-Identifier: Apache-2.0

// Attachments from memory that is used again: lent to who trusts the sender, and sealed for everybody else.
#include "nearcall/buffer_pool.h"

#include <gmock/gmock.h>

#include <cstring>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/mutex.h"
#include "child.h"
#include "picture_service.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;

class BufferPoolTest : public AttachmentsTest {
 protected:
  static ServerOptions Trusting() {
    ServerOptions options = Taking();
    options.trust_sender = true;
    return options;
  }

  // As Picture(), from the pool.
  Buffer Draw(size_t size, size_t seed) {
    Buffer buffer = Must(pool.Allocate(size));
    const Buffer picture = Picture(size, seed);
    std::memcpy(buffer.mutable_bytes().data(), picture.bytes().data(), size);
    return buffer;
  }

  // Answers with a picture of the pool.
  std::unique_ptr<Server> StartGiving() {
    pictures.invert = [this](ServerContext& context, const Blob&, Blob&) {
      context.reply_attachments().push_back(Draw(kLarge, 3));
      return absl::OkStatus();
    };
    ServerOptions options;
    options.passes_attachments = true;
    return StartServer(options);
  }

  BufferPool pool{size_t{16} << 20};
};

// Forty pictures, one at a time: both sides have them in the same few places.
TEST_F(BufferPoolTest, TheSameMemoryIsUsedAgainAtBothSides) {
  NEEDS_DESCRIPTORS();
  std::set<const std::byte*> received;
  pictures.invert = [&](ServerContext& context, const Blob& request, Blob& reply) {
    received.insert(context.attachment(0).bytes().data());
    return PictureService::Return(context, request, reply);
  };
  const auto server = StartServer(Trusting());
  const Pictures::Stub stub = ConnectPictures();
  std::set<const std::byte*> sent;
  for (size_t i = 0; i < 40; ++i) {
    const Buffer picture = Draw(kLarge + i, i);
    sent.insert(picture.bytes().data());
    ASSERT_EQ(Must(stub.Invert(MakeBlob("x"), Attaching({picture}))).data(), absl::StrCat(i, ":", kLarge + i));
  }
  // As a request is let go of after its reply has been sent there may be a few of them under way.
  EXPECT_LE(sent.size(), 10u);
  EXPECT_LE(received.size(), sent.size());
  EXPECT_LE(pool.bytes(), 10 * (kLarge + 8192));
}

TEST_F(BufferPoolTest, WhoKeepsAPictureKeepsItAsItWas) {
  Buffer kept;
  pictures.invert = [&](ServerContext& context, const Blob&, Blob& reply) {
    if (kept.empty()) kept = context.attachment(0);
    reply.set_data(TextOf(kept.bytes()));
    return absl::OkStatus();
  };
  const auto server = StartServer(Trusting());
  const Pictures::Stub stub = ConnectPictures();
  for (size_t i = 0; i < 20; ++i) {
    EXPECT_EQ(Must(stub.Invert(MakeBlob("x"), Attaching({Draw(kLarge, i)}))).data(), "0:307200");
  }
  kept = Buffer();
}

// Copies where nobody passes memory; sealed where the peer trusts nobody. The programs are told the same.
TEST_F(BufferPoolTest, WhoDoesNotTrustTheSenderGetsThemAsEver) {
  std::string ways;
  pictures.invert = [&](ServerContext& context, const Blob& request, Blob& reply) {
    ways = WaysOf(context.attachments());
    return PictureService::Return(context, request, reply);
  };
  for (const bool grants : {true, false}) {
    const auto server = StartServer(grants ? Taking() : ServerOptions());
    const Pictures::Stub stub = ConnectPictures();
    const Buffer picture = Draw(kLarge, 1);
    for (size_t i = 0; i < 2; ++i) {
      EXPECT_EQ(Must(stub.Invert(MakeBlob("x"), Attaching({picture}))).data(), "1:307200");
      EXPECT_EQ(ways, grants && CarriesDescriptors() ? "passed" : "copied");
    }
  }
}

TEST_F(BufferPoolTest, GoWithRepliesToAClientThatTrusts) {
  const auto server = StartGiving();
  const Pictures::Stub stub = ConnectPictures({.trust_sender = true});
  const Pictures::Stub other = ConnectPictures();
  for (size_t i = 0; i < 10; ++i) {
    std::vector<Buffer> returned;
    std::vector<Buffer> returned_to_other;
    Must(stub.Invert(MakeBlob("x"), Attaching({}, &returned)));
    Must(other.Invert(MakeBlob("x"), Attaching({}, &returned_to_other)));
    EXPECT_EQ(TextsOf(returned) + TextsOf(returned_to_other), "3:3072003:307200");
  }
  EXPECT_LE(pool.bytes(), 10 * (kLarge + 8192));
}

// What was lent here is passed on as it was sealed for everybody.
TEST_F(BufferPoolTest, WhatHasComeCanBeSentOn) {
  pictures.invert = [](ServerContext& context, const Blob& request, Blob& reply) {
    context.reply_attachments().push_back(context.attachment(0));
    reply.set_data(request.data());
    return absl::OkStatus();
  };
  const auto server = StartServer(Trusting());
  for (const bool trusts : {true, false}) {
    std::vector<Buffer> returned;
    Must(ConnectPictures({.trust_sender = trusts}).Invert(MakeBlob("x"), Attaching({Draw(kLarge, 3)}, &returned)));
    EXPECT_EQ(TextsOf(returned), "3:307200");
    EXPECT_EQ(WaysOf(returned), CarriesDescriptors() ? "passed" : "copied");
  }
}

TEST_F(BufferPoolTest, GoWithElements) {
  const auto server = StartServer(Trusting());
  const auto chat = ConnectPictures().Chat({.timeout = kLong});
  for (size_t i = 0; i < 30; ++i) {
    chat->Attach(Draw(kLarge, i));
    chat->Attach(Draw(kSmall, i + 1));
    ASSERT_TRUE(chat->Write(MakeBlob(absl::StrCat(i)))) << chat->Finish();
    Blob reply;
    ASSERT_TRUE(chat->Read(&reply)) << chat->Finish();
    EXPECT_EQ(TextsOf(chat->attachments()), absl::StrCat(i + 100, ":307200|", i + 101, ":1000"));
  }
  EXPECT_TRUE(chat->Finish().ok());
  EXPECT_LE(pool.bytes(), size_t{16} << 20);
}

// A receiver that is killed has no lease any more.
TEST_F(BufferPoolTest, ADeadReceiverKeepsNothing) {
  NEEDS_DESCRIPTORS();
  Child child([&](Link& parent) {
    parent.Await();
    const Pictures::Stub stub = ConnectPictures({.trust_sender = true});
    std::vector<Buffer> kept(16);
    for (Buffer& one : kept) {
      std::vector<Buffer> returned;
      Must(stub.Invert(MakeBlob("x"), Attaching({}, &returned)));
      one = returned.at(0);
    }
    parent.Tell("has them");
    parent.Await();  // until it is killed
  });
  constexpr size_t kMany = 1000;
  BufferPool many(2 * kMany * kLarge);
  base::Mutex mutex;  // what another process tells orders nothing here
  std::set<const std::byte*> lent;
  pictures.invert = [&](ServerContext& context, const Blob&, Blob&) {
    Buffer& one = context.reply_attachments().emplace_back(Must(many.Allocate(kLarge)));
    const base::MutexLock lock(mutex);
    lent.insert(one.mutable_bytes().data());
    return absl::OkStatus();
  };
  ServerOptions options;
  options.passes_attachments = true;
  const auto server = StartServer(options);
  child.link().Tell();
  ASSERT_EQ(child.link().Await(), "has them");
  const std::set<const std::byte*> kept = [&] {
    const base::MutexLock lock(mutex);
    return lent;
  }();
  EXPECT_EQ(kept.size(), 16u);
  child.Kill();
  // Each of them is free again, though perhaps not at once: until then there are others.
  std::vector<Buffer> taken;
  size_t again = 0;
  EXPECT_TRUE(Eventually([&] {
    Buffer& one = taken.emplace_back(Must(many.Allocate(kLarge)));
    again += kept.count(one.mutable_bytes().data());
    return again == kept.size() || taken.size() == kMany;
  }));
  EXPECT_EQ(again, kept.size());
}

// The options of a server and of the clients it calls.
TEST_F(BufferPoolTest, TrustWithoutAGrantIsAMistake) {
  ServerOptions options;
  options.trust_sender = true;
  EXPECT_THAT(ServerBuilder(options).Listen(Address()).Register(&pictures).Start().status(),
              FailsWith(StatusCode::kInvalidArgument, "trust_sender"));
}

}  // namespace
}  // namespace nearcall::integration
