# frozen_string_literal: true

require 'json'
require 'open3'
require 'tempfile'
require 'tmpdir'
require 'yaml'
require_relative '../../ci/lab.d/job_templates'

# Renders jobs as the director does, for a group of members.
module Rendering
  GOLDEN = File.join(RELEASE_DIR, 'spec', 'golden')
  HOSTILE = %q(it's "q" \\ `b` #{x} <%= y %> : - # & * ! | > %s ; -- /* ü 😀) + "\t\u2028"

  def job(name) = JobTemplates::Job.new(RELEASE_DIR, name)

  def members(count = 3)
    Array.new(count) do |n|
      { 'name' => 'mysql', 'index' => n, 'id' => "id-#{n}", 'az' => "z#{n + 1}", 'address' => "10.0.0.#{n + 4}", 'bootstrap' => n.zero?, 'properties' => {} }
    end
  end

  def mariadb_link(count = 3, properties = {})
    { 'instances' => members(count), 'properties' => { 'cluster_name' => 'galera', 'port' => 3306, 'galera_port' => 4567 }.merge(properties) }
  end

  def agent_link(properties = {})
    shared = { 'port' => 9200, 'username' => 'galera-agent', 'password' => 'secret', 'tls' => { 'server_name' => 'galera-agent' } }
    { 'instances' => members, 'properties' => shared.merge(properties) }
  end

  def proxy_link(count = 2)
    instances = Array.new(count) do |n|
      { 'name' => 'proxy', 'index' => n, 'id' => "proxy-#{n}", 'az' => "z#{n + 1}", 'address' => "10.0.0.#{n + 20}", 'bootstrap' => n.zero?, 'properties' => {} }
    end
    { 'instances' => instances, 'properties' => { 'port' => 3306 } }
  end

  def links(count: 3, mariadb: {}, agent: {})
    { 'mariadb' => mariadb_link(count, mariadb), 'galera-agent' => agent_link(agent), 'proxy' => proxy_link }
  end

  def spec_of(index) = { 'name' => 'mysql', 'index' => index, 'id' => "id-#{index}", 'address' => "10.0.0.#{index + 4}", 'bootstrap' => index.zero?, 'persistent_disk' => 1024 }

  # `spec_of` is one of the arbitrators too, where a job needs that.
  def arbitrator_link = { 'instances' => members.map { |m| m.merge('name' => 'arbitrator') }, 'properties' => {} }

  # An instance of the link's own, as a proxy is on a VM of its own.
  def spec_among(link, index) = link['instances'].fetch(index).slice('name', 'index', 'id', 'address', 'bootstrap')

  def render(name, file, properties: {}, links: self.links, index: 1, spec: nil)
    links = links.merge('arbitrator' => arbitrator_link) if name == 'arbitrator' && links.any? && !links.key?('arbitrator')
    used = links.slice(*job(name).consumes)
    spec ||= name == 'proxy' && used['proxy'] ? spec_among(used['proxy'], index) : spec_of(index)
    job(name).render(file, properties: properties, links: used, spec: spec)
  end

  # All files of a job: destination => text
  def rendered(name, **options) = job(name).destinations.to_h { |file| [file, render(name, file, **options)] }

  # { 'a' => { 'b' => 1 } } from 'a.b' and 1
  def nested(dotted, value) = dotted.split('.').reverse.reduce(value) { |inner, key| { key => inner } }

  # What mariadbd itself makes of a my.cnf: option => value
  def read_by_mariadb(text, section = 'mysqld')
    Tempfile.create('my.cnf') do |file|
      file.write(text)
      file.flush
      out, status = Open3.capture2('my_print_defaults', "--defaults-file=#{file.path}", section)
      expect(status).to be_success
      out.lines.map { |l| l.chomp.delete_prefix('--').split('=', 2) }.to_h
    end
  end

  # Compares with a file that is reviewed; UPDATE_GOLDEN=1 writes it anew.
  def expect_golden(text, file)
    path = File.join(GOLDEN, file)
    File.write(path, text) if ENV['UPDATE_GOLDEN']
    expect(text).to eq(File.read(path)), "differs from spec/golden/#{file}; UPDATE_GOLDEN=1 writes it anew"
  end

  # The executables read what is rendered, so that template and program cannot drift apart.
  def check_config(program, text)
    path = %w[release debug].map { |p| File.join(RELEASE_DIR, 'target', p, program) }.select { |f| File.executable?(f) }.max_by { |f| File.mtime(f) }
    raise "#{program} is not built: cargo build" unless path
    Dir.mktmpdir do |dir|
      File.write(File.join(dir, 'config.yml'), text)
      yield dir if block_given?
      Open3.capture3(path, '--config', File.join(dir, 'config.yml'), '--check-config')
    end
  end
end

RSpec.configure { |c| c.include Rendering, type: :rendering }
