# frozen_string_literal: true

require 'fileutils'
require 'json'
require 'openssl'
require 'securerandom'
require 'yaml'

module LabParts
  # A deployment manifest with ops files and variables, as the CLI and the director put them together.
  class Manifest
    class Bad < StandardError; end

    def initialize(path, ops: [], variables_file:)
      @tree = load(path)
      ops.each { |file| load(file).each { |op| apply(op, file) } }
      @variables = Variables.new(variables_file, @tree['variables'] || [])
    end

    def deployment = @tree.fetch('name')
    def groups = @variables.fill(@tree.fetch('instance_groups'))

    private

    def load(path)
      YAML.safe_load(File.read(path), aliases: true)
    rescue SystemCallError, Psych::Exception => e
      raise Bad, "#{path}: #{e.message}"
    end

    # `replace` and `remove` with paths such as /instance_groups/name=mysql/jobs/-, as `bosh` has them.
    def apply(operation, file)
      steps = operation.fetch('path').split('/').drop(1)
      last = steps.pop
      parent = steps.each_with_index.reduce(@tree) { |node, (step, at)| descend(node, step, steps[at + 1] || last) }
      operation['type'] == 'remove' ? remove(parent, last) : replace(parent, last, operation['value'])
    rescue KeyError, Bad => e
      raise Bad, "#{file}: #{operation['path']}: #{e.message}"
    end

    def descend(node, step, following)
      name, optional = step.delete_suffix('?'), step.end_with?('?')
      return node.fetch(position(node, name)) if node.is_a?(Array)
      node[name] ||= following == '-' ? [] : {} if optional || missing_below_optional?(node)
      node.fetch(name)
    end

    # Below a `?` everything is made where it is missing.
    def missing_below_optional?(node) = node.empty?

    def position(list, step)
      return Integer(step) if step.match?(/\A-?\d+\z/)
      key, value = step.split('=', 2)
      list.index { |item| item[key] == value } or raise Bad, "nothing with #{step}"
    end

    def replace(parent, last, value)
      name = last.delete_suffix('?')
      if last == '-' then parent << value
      elsif parent.is_a?(Array) then (parent[position(parent, name)] = value)
      else parent[name] = value
      end
    end

    def remove(parent, last)
      parent.is_a?(Array) ? parent.delete_at(position(parent, last)) : parent.delete(last.delete_suffix('?'))
    end
  end

  # ((variables)) of a manifest: passwords and certificates, made once and kept.
  class Variables
    def initialize(file, definitions)
      @file = file
      @values = File.exist?(file) ? YAML.safe_load(File.read(file)) : {}
      made = definitions.reject { |d| @values[d['name']] }.each { |d| @values[d['name']] = make(d) }
      # Written only then: several directors may be at work on one lab.
      File.write(file, YAML.dump(@values), perm: 0o600) if made.any?
    end

    def fill(node)
      case node
      when Hash then node.transform_values { |v| fill(v) }
      when Array then node.map { |v| fill(v) }
      when /\A\(\(([^)]+)\)\)\z/ then value(Regexp.last_match(1))
      when String then node.gsub(/\(\(([^)]+)\)\)/) { value(Regexp.last_match(1)) }
      else node
      end
    end

    private

    def value(path)
      found = path.split('.').reduce(@values) { |node, key| node.is_a?(Hash) ? node[key] : nil }
      found.nil? ? raise(Manifest::Bad, "variable ((#{path})) is not defined") : found
    end

    def make(definition)
      case definition['type']
      when 'password' then SecureRandom.alphanumeric(24)
      when 'certificate' then certificate(definition['options'] || {})
      else raise Manifest::Bad, "variable #{definition['name']}: type #{definition['type']} is not known"
      end
    end

    def certificate(options)
      key = OpenSSL::PKey::RSA.new(2048)
      signer = options['ca'] && @values.fetch(options['ca'])
      cert = unsigned(options, key, signer)
      cert.sign(signer ? OpenSSL::PKey.read(signer['private_key']) : key, OpenSSL::Digest.new('SHA256'))
      { 'ca' => signer ? signer['certificate'] : cert.to_pem, 'certificate' => cert.to_pem, 'private_key' => key.to_pem }
    end

    def unsigned(options, key, signer)
      cert = OpenSSL::X509::Certificate.new
      cert.version = 2
      cert.serial = SecureRandom.random_number(1 << 60)
      cert.subject = OpenSSL::X509::Name.parse("/CN=#{options.fetch('common_name')}")
      cert.issuer = signer ? OpenSSL::X509::Certificate.new(signer['certificate']).subject : cert.subject
      cert.public_key = key.public_key
      cert.not_before = Time.now - 3600
      cert.not_after = Time.now + (365 * 24 * 3600)
      extend_with(cert, options)
      cert
    end

    def extend_with(cert, options)
      factory = OpenSSL::X509::ExtensionFactory.new(cert, cert)
      add = ->(*extension) { cert.add_extension(factory.create_extension(*extension)) }
      return add.call('basicConstraints', 'CA:TRUE', true) if options['is_ca']
      names = options.fetch('alternative_names', [options.fetch('common_name')])
      add.call('subjectAltName', names.map { |n| n.match?(/\A[\d.]+\z/) ? "IP:#{n}" : "DNS:#{n}" }.join(','))
      add.call('extendedKeyUsage', 'serverAuth,clientAuth')
    end
  end
end
