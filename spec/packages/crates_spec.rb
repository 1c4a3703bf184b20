# frozen_string_literal: true

require 'tmpdir'
require_relative '../../ci/release.d/crates'

RSpec.describe "The crates' archive" do
  before(:all) do
    @dir = Dir.mktmpdir
    @archive = File.join(@dir, 'first.tar')
    Release::Crates.pack(@archive)
  end

  after(:all) { FileUtils.rm_rf(@dir) }

  it 'is the same, byte by byte, whenever and wherever it is made' do
    again = File.join(@dir, 'again.tar')
    # Another time of day, another directory, another umask, another time zone, other locale.
    before = { 'TZ' => ENV['TZ'], 'LC_ALL' => ENV['LC_ALL'] }
    ENV.update('TZ' => 'Asia/Seoul', 'LC_ALL' => 'C.UTF-8')
    umask = File.umask(0o077)
    Release::Crates.pack(again)
    File.umask(umask)
    ENV.update(before)
    expect(Digest::SHA256.file(again)).to eq(Digest::SHA256.file(@archive))
  end

  it 'holds the crates of Cargo.lock, each with the checksum that stands there, and nothing else' do
    locked = Release::Crates.locked.to_h { |crate| [crate.file, crate.checksum] }
    expect(locked.size).to be > 100
    expect(Release::Crates.packed(@archive)).to eq(locked)
  end

  it 'is the one that config/blobs.yml states: `ci/vendor` after every change of Cargo.lock' do
    blob = Release::Blob.new(Release::Crates::BLOB, Release::Blob.index.fetch(Release::Crates::BLOB))
    expect(blob.wrong(@archive)).to be_nil
  end

  it 'is refused when Cargo.lock has a crate from elsewhere' do
    FileUtils.mkdir_p(File.join(@dir, 'src'))
    File.write(File.join(@dir, 'src/Cargo.lock'), %([[package]]\nname = "x"\nversion = "1.0.0"\nsource = "git+https://example.org/x"\n))
    expect { Release::Crates.locked(@dir) }.to raise_error(Release::Failed, /x in Cargo.lock is from git\+https/)
  end
end
