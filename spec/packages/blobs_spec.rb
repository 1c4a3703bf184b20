# frozen_string_literal: true

require 'tmpdir'
require_relative '../../ci/release.d/blobs'

RSpec.describe 'ci/blobs' do
  let(:root) { Dir.mktmpdir }
  let(:good) { 'an archive' }
  let(:lines) { [] }
  let(:blob) { Release::Blob.all(root).first }

  before do
    Dir.mkdir(File.join(root, 'config'))
    Dir.mkdir(File.join(root, 'elsewhere'))
    config(Release::Blob::INDEX, 'socat/x.tar' => { 'size' => good.bytesize, 'sha' => "sha256:#{Digest::SHA256.hexdigest(good)}" })
  end

  after { FileUtils.rm_rf(root) }

  def config(file, tree) = File.write(File.join(root, file), tree.to_yaml)

  # Addresses that answer with these texts, as files; nil is one that has nothing.
  def offered(*texts)
    addresses = texts.each_with_index.map do |text, n|
      File.write(File.join(root, "elsewhere/#{n}"), text) if text
      "file://#{root}/elsewhere/#{n}"
    end
    config(Release::Blob::UPSTREAM, 'socat/x.tar' => { 'from' => addresses })
  end

  def fetch = blob.fetch(progress: ->(line) { lines << line })

  it 'takes the first address that gives the file that is meant' do
    offered(nil, 'an archivE', good, 'never asked')
    fetch
    expect(File.read(blob.file)).to eq(good)
    expect(lines).to eq(["socat/x.tar from file://#{root}/elsewhere/2"])
  end

  it 'finds what Debian has at any archive that apt knows, and names no host' do
    File.write(File.join(root, 'elsewhere/x.tar'), good)
    config(Release::Blob::UPSTREAM, 'socat/x.tar' => { 'from' => ['debian:x.tar'] })
    allow(Release::Blob).to receive(:archives).and_return(["file://#{root}/nothing/", "file://#{root}/elsewhere/"])
    fetch
    expect(lines).to eq(["socat/x.tar from file://#{root}/elsewhere/x.tar"])
    expect(File.read('config/upstream.yml')).not_to match(%r{//\S*debian\.org})
  end

  it 'says of each address what was wrong, and what a person can do; leaves nothing behind' do
    offered(nil, 'an archivE', 'short')
    expect { fetch }.to raise_error(Release::Failed) { |error|
      expect(error.message).to match(%r{\Asocat/x.tar could not be had:\n  file://\S+/0: .+$})
      expect(error.message).to match(%r{^  file://\S+/1: what came has sha256:\h+, not sha256:\h+$})
      expect(error.message).to match(%r{^  file://\S+/2: what came has 5 bytes, not 10$})
      expect(error.message).to match(%r{Put a file of 10 bytes with sha256:\h+ at blobs/socat/x.tar, or add an address to config/upstream.yml})
    }
    expect(Dir.children(File.join(root, 'blobs/socat'))).to eq([])
  end

  it 'says so when there is no address at all' do
    config(Release::Blob::UPSTREAM, {})
    expect { fetch }.to raise_error(Release::Failed, %r{has no address in config/upstream.yml})
  end

  it 'asks nobody for a file that is there, and fetches one again that is not what is stated' do
    offered(good)
    fetch
    fetch
    expect(lines.size).to eq(1)
    File.write(blob.file, 'an archivE')
    fetch
    expect([lines.size, File.read(blob.file)]).to eq([2, good])
  end

  it 'records a file as `bosh add-blob` does, sorted and without a header; what is recorded keeps its place in the blobstore' do
    config(Release::Blob::INDEX, 'z/z.tar' => { 'size' => 1, 'object_id' => 'there', 'sha' => 'sha256:0' })
    FileUtils.mkdir_p(File.join(root, 'blobs/a'))
    File.write(File.join(root, 'blobs/a/a.tar'), good)
    expect(Release::Blob.record('a/a.tar', root)).to be(true)
    expect(Release::Blob.record('a/a.tar', root)).to be(false)
    expect(File.read(File.join(root, Release::Blob::INDEX))).to eq(<<~YAML)
      a/a.tar:
        size: 10
        sha: sha256:#{Digest::SHA256.hexdigest(good)}
      z/z.tar:
        size: 1
        object_id: there
        sha: sha256:0
    YAML
  end
end
